// Starts a control plane, prints its directory and processes as one line of JSON, and waits to be killed.
import { startControlPlane } from './controlplane.ts';

const server = await startControlPlane();
console.log(JSON.stringify({ dir: server.dir, processes: Object.values(server.processes()) }));
setInterval(() => undefined, 60_000);
