/** The only place that talks to the API server. What the controller and the command line need of it. */
export { connectPlain, type Connection, type PlainOptions, type TlsMaterial } from './connection.ts';
export { connectKube, type ConnectOptions } from './kubeconfig.ts';
export {
  KubeClient,
  type ClientOptions,
  type KubeRequest,
  type Requester,
  type RequestRecord,
  type WatchSink,
} from './client.ts';
export { ApiError, type ApiErrorCode, isApiError } from './errors.ts';
export { describePath, type PathParts, resourcePath } from './paths.ts';
export { listAll, type ListRequest, type ListSink } from './list.ts';
export { ListWatch, type ListWatchOptions, type Trouble, type Tuning } from './listwatch.ts';
export { type Change, type ChangeSource, type Convert, isNewer, ObjectStore } from './store.ts';
export { toNode, toPlainObject, toService } from './convert.ts';
export { toEndpointSlice } from './convert-endpoints.ts';
export {
  sameIngress,
  statusPatch,
  type StatusPatch,
  type WantedCondition,
  type WantedStatus,
} from './status.ts';
export {
  addFinalizer,
  allocateNodePorts,
  clearCondition,
  getService,
  listServices,
  patchStatus,
  removeFinalizer,
  SERVICES_PATH,
  type WriteContext,
} from './services.ts';
export {
  type DroppedEvent,
  type EventRecord,
  EventRecorder,
  type EventTarget,
  type RecorderOptions,
} from './events.ts';
export { type ElectionEnd, type ElectionOptions, type Leadership, runLeaderElection } from './lease.ts';
export { type LeaseRecord, toLease } from './lease-record.ts';
export { readClusterId, readFromPod, readServerVersion, type PodTarget } from './reads.ts';
export { type Clock, systemClock } from './timing.ts';
