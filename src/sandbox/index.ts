/** The sandbox: an embedded API server and simulated nodes, for `berth demo` and the tests. */
export { startSandbox, type ObjectName, type Objects, type Sandbox, type SandboxOptions } from './sandbox.ts';
export { type ActiveFault, type Fault, Faults } from './faults.ts';
export { matches, type RequestQuery, type RequestRecord, Requests } from './requests.ts';
export type { CustomResource } from './resources/custom.ts';
export type { Json, JsonObject, KubeObject, NodeObject, ServiceObject } from './machinery/objects.ts';
export { ApiError } from './machinery/status.ts';
export type { Change } from './machinery/store.ts';
export { startNodes, type BackendsOptions, type NodesOptions, type SimulatedNodes } from './nodes/index.ts';
export { type DrainOptions, EXCLUDE_LABEL, LEAVING_TAINT, SimulatedNode } from './nodes/node.ts';
export { Backend, type BackendOptions } from './nodes/backend.ts';
