// Answers ARP for one address with MetalLB's own layer-2 announcer, as its speaker does with its default settings, and
// without a cluster around it. Argument: the address. Prints "ready" once it is announced; runs until it is killed.
package main

import (
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"go.universe.tf/metallb/internal/layer2"
	"k8s.io/apimachinery/pkg/util/sets"
)

const uplink = "eth0"

func main() {
	announcer, err := layer2.New(level.NewFilter(log.NewLogfmtLogger(os.Stderr), level.AllowInfo()), nil, 0)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for !slices.Contains(announcer.GetInterfaces(), uplink) {
		time.Sleep(10 * time.Millisecond)
	}
	announcer.SetBalancer("bench", layer2.NewIPAdvertisement(net.ParseIP(os.Args[1]), true, sets.New[string]()))
	fmt.Println("ready")
	select {}
}
