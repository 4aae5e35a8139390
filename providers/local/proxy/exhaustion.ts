/** What the system answers when it has no descriptors, ports or memory left. */
const EXHAUSTED = new Set(['EMFILE', 'ENFILE', 'EADDRNOTAVAIL', 'ENOBUFS', 'ENOMEM']);

/** Whether a connection failed for want of something on this machine, which is no fault of the target. */
export function isExhaustion(error: NodeJS.ErrnoException): boolean {
  return EXHAUSTED.has(error.code ?? '');
}
