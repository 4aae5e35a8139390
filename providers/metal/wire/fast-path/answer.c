/*
 * The fast path: answers plain ARP requests for announced addresses without a turn through JavaScript, which costs a
 * third of an answer's time. It is a wait that answers while it waits: whatever is not the plain case (another socket
 * is ready, a claim, a fault, a stall, nothing may be answered at the moment) ends the wait and is judged where all is
 * judged, in the responder. So it decides nothing that the responder would decide otherwise, and may be absent.
 *
 * Written by the thread that waits, read by nobody else at the time; no memory is taken, no state but `fast_path`'s.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#define FRAME_SIZE 1536
#define MAX_PORTS 64
/* Of one wait, whatever the counter says of the time: the caller has timers to run. */
#define MAX_TURNS 1000
/* ARP for IPv4 over Ethernet (RFC 826): offsets as in codec/arp.ts. */
#define ARP_FRAME 42
enum { AT_SOURCE = 6, AT_TYPE = 12, AT_OP = 20, AT_SHA = 22, AT_SPA = 28, AT_THA = 32, AT_TPA = 38 };

/* An announced address as it stands in a frame, and where its requests are counted (responses: the next cell). */
struct address {
  uint32_t ip;
  uint32_t cell;
};

/* An interface: its ARP socket, its MAC, and its addresses, sorted by `ip`. */
struct port {
  int32_t fd;
  uint32_t first;
  uint32_t count;
  uint8_t mac[6];
  uint8_t unused[2];
};

/* Shared with fast-path.ts, which knows the offsets. */
struct fast_path {
  double woke_ms; /* CLOCK_MONOTONIC at the last turn; a longer gap than stall_ms is a stall */
  double stall_ms;
  double *counters;
  const struct address *addresses;
  uint32_t enabled;
  uint32_t ports;
  uint32_t frames_cell;
  uint32_t errors_cell;
  int32_t held_fd;
  uint32_t held_length;
  uint32_t by_clock; /* the processor's counter is not to be trusted */
  uint32_t slice_ms;
  /* How fast the counter runs, and since when that is known. */
  double ticks_per_ms;
  double base_ms;
  uint64_t base_ticks;
  uint64_t woke_ticks;
  struct port port[MAX_PORTS];
  uint8_t frame[FRAME_SIZE];
};

_Static_assert(sizeof(void *) == 8, "64-bit");
_Static_assert(sizeof(struct address) == 8 && sizeof(struct port) == 20, "elements");
_Static_assert(offsetof(struct fast_path, counters) == 16 && offsetof(struct fast_path, addresses) == 24, "pointers");
_Static_assert(offsetof(struct fast_path, enabled) == 32 && offsetof(struct fast_path, held_fd) == 48, "words");
_Static_assert(offsetof(struct fast_path, by_clock) == 56 && offsetof(struct fast_path, slice_ms) == 60, "settings");
_Static_assert(offsetof(struct fast_path, port) == 96, "ports");
_Static_assert(offsetof(struct fast_path, frame) == 96 + MAX_PORTS * sizeof(struct port), "frame");

/* What a caller that was built with other offsets would notice. */
int berth_fast_path_size(void) {
  return (int)sizeof(struct fast_path);
}

static double now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/*
 * What the processor counts while time passes. The clock of the C library costs a microsecond after a pause, because
 * what it reads lies in pages that nothing else needs; a counter is a register.
 */
static uint64_t ticks(const struct fast_path *path) {
#if defined(__x86_64__)
  if (!path->by_clock) return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
  uint64_t count;
  __asm__ volatile("mrs %0, cntvct_el0" : "=r"(count));
  if (!path->by_clock) return count;
#endif
  return (uint64_t)(now_ms() * 1e6);
}

/*
 * Learns how fast the counter runs, again each second. While it is not known nothing is answered: at first, and when it
 * seems to run otherwise than before (the machine slept, which CLOCK_MONOTONIC does not count; it was moved).
 */
static void calibrate(struct fast_path *path, double now, uint64_t count) {
  double known = path->ticks_per_ms;
  double passed = now - path->base_ms;
  if (path->base_ms > 0 && passed < (known > 0 ? 1000 : 20)) return;
  if (path->base_ms > 0) {
    double rate = (double)(count - path->base_ticks) / passed;
    int same = rate > known * 0.99 && rate < known * 1.01;
    path->ticks_per_ms = known > 0 && !same ? 0 : rate;
  }
  path->base_ms = now;
  path->base_ticks = count;
}

/* Also when the counter went backwards. */
static int stalled(const struct fast_path *path, uint64_t count) {
  return count - path->woke_ticks > (uint64_t)(path->stall_ms * path->ticks_per_ms);
}

static const struct address *find(const struct fast_path *path, const struct port *port, const uint8_t *at) {
  const struct address *low = path->addresses + port->first;
  uint32_t count = port->count;
  uint32_t ip;
  memcpy(&ip, at, sizeof ip);
  while (count > 0) {
    uint32_t half = count / 2;
    if (low[half].ip == ip) return low + half;
    if (low[half].ip < ip) {
      low += half + 1;
      count -= half + 1;
    } else {
      count = half;
    }
  }
  return 0;
}

static const struct port *port_of(const struct fast_path *path, int fd) {
  for (uint32_t i = 0; i < path->ports; i++)
    if (path->port[i].fd == fd) return &path->port[i];
  return 0;
}

static int is_ours(const struct fast_path *path, const uint8_t *mac) {
  for (uint32_t i = 0; i < path->ports; i++)
    if (memcmp(path->port[i].mac, mac, 6) == 0) return 1;
  return 0;
}

/* The address that a plain request asks for: to us or to all, from another station that claims nothing of ours. */
static const struct address *asked(const struct fast_path *path, const struct port *port, long length) {
  static const uint8_t request[] = {0x08, 0x06, 0x00, 0x01, 0x08, 0x00, 6, 4, 0, 1};
  static const uint8_t everybody[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  static const uint8_t nobody[] = {0, 0, 0, 0, 0, 0};
  const uint8_t *frame = path->frame;
  const uint8_t *sender = frame + AT_SHA;
  if (length < ARP_FRAME || memcmp(frame + AT_TYPE, request, sizeof request) != 0) return 0;
  if (memcmp(frame, everybody, 6) != 0 && memcmp(frame, port->mac, 6) != 0) return 0;
  if ((sender[0] & 1) != 0 || memcmp(sender, nobody, 6) == 0 || is_ours(path, sender)) return 0;
  if (find(path, port, frame + AT_SPA) != 0) return 0;
  return find(path, port, frame + AT_TPA);
}

/* Makes the request its answer, sender and target swapped, and sends it. */
static int answer(struct fast_path *path, const struct port *port) {
  uint8_t *frame = path->frame;
  uint8_t target[4];
  memcpy(target, frame + AT_TPA, 4);
  memcpy(frame, frame + AT_SHA, 6);
  memcpy(frame + AT_SOURCE, port->mac, 6);
  frame[AT_OP + 1] = 2;
  memcpy(frame + AT_THA, frame + AT_SHA, 10);
  memcpy(frame + AT_SHA, port->mac, 6);
  memcpy(frame + AT_SPA, target, 4);
  return send(port->fd, frame, ARP_FRAME, MSG_DONTWAIT) == ARP_FRAME;
}

/* Takes one frame of a port and answers it; 0 when the frame (held) or the socket's error is for the caller. */
static int take(struct fast_path *path, const struct port *port) {
  long length = recv(port->fd, path->frame, FRAME_SIZE, MSG_DONTWAIT);
  if (length <= 0) return 0;
  const struct address *address = asked(path, port, length);
  /* What was read after a stall may have waited through it. */
  if (address == 0 || stalled(path, ticks(path))) {
    path->held_fd = port->fd;
    path->held_length = (uint32_t)length;
    return 0;
  }
  path->counters[path->frames_cell] += 1;
  path->counters[address->cell] += 1;
  if (answer(path, port)) path->counters[address->cell + 1] += 1;
  else path->counters[path->errors_cell] += 1;
  return 1;
}

static int least(int a, int b) {
  return a < b ? a : b;
}

/* Answers what waits in the ports; how many of the events are left to the caller. */
static int turn(struct fast_path *path, struct epoll_event *events, int ready) {
  for (int i = 0; i < ready; i++)
    if (port_of(path, events[i].data.fd) == 0) return ready;
  for (int i = 0; i < ready; i++) {
    if (take(path, port_of(path, events[i].data.fd))) continue;
    memmove(events, events + i, (size_t)(ready - i) * sizeof *events);
    return ready - i;
  }
  return 0;
}

/*
 * epoll_wait(2), except that plain requests are answered meanwhile, and that it wakes every `slice_ms` to see whether
 * the process stood still. What it returns is for the caller to handle; 0 when the time is over, or earlier. A frame
 * that was read and not answered is in `frame`, its socket in `held_fd`. The caller writes to `woke_ms` when its own last
 * turn woke, and finds there when the last one woke that was taken here.
 */
int berth_wait(struct fast_path *path, int epoll, struct epoll_event *events, int count, int timeout_ms) {
  int slice_ms = (int)path->slice_ms;
  path->held_fd = -1;
  double begun_ms = now_ms();
  uint64_t begun = ticks(path);
  calibrate(path, begun_ms, begun);
  double rate = path->ticks_per_ms;
  if (!path->enabled || rate <= 0) return epoll_wait(epoll, events, count, least(timeout_ms, slice_ms));
  double since_ms = begun_ms > path->woke_ms ? begun_ms - path->woke_ms : 0;
  path->woke_ticks = begun - (uint64_t)(since_ms * rate);
  int left_ms = timeout_ms;
  for (int turns = 0; turns < MAX_TURNS; turns++) {
    int ready = epoll_wait(epoll, events, count, least(left_ms, slice_ms));
    if (ready < 0) return ready;
    uint64_t woke = ticks(path);
    if (stalled(path, woke)) return ready;
    path->woke_ticks = woke;
    ready = turn(path, events, ready);
    double passed_ms = (double)(woke - begun) / rate;
    path->woke_ms = begun_ms + passed_ms;
    if (ready > 0 || passed_ms >= timeout_ms) return ready;
    left_ms = (int)(timeout_ms - passed_ms) + 1;
  }
  return 0;
}
