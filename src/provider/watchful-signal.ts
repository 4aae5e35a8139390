/**
 * The controller's signal, made to look for itself: whoever asks whether it is aborted makes it ask `gone`, and a
 * reason aborts it at that moment.
 *
 * An abort by an event comes too late after a stall of the process (a frozen virtual machine, a suspended laptop): the
 * answers that wait in its sockets are taken in before its timers, and a step that makes several calls would make its
 * next one for a process that lost its Lease meanwhile. Everything that takes a signal asks it first (`fetch`,
 * `http.request`, the AWS SDK), which is why looking there is enough.
 *
 * Caveat: a signal that is derived from this one by `AbortSignal.any` hears of events only.
 */
export function watchfulSignal(controller: AbortController, gone: () => unknown): AbortSignal {
  const { signal } = controller;
  const isAborted = (): boolean => Reflect.get(AbortSignal.prototype, 'aborted', signal) as boolean;
  const look = (): boolean => {
    const reason = isAborted() ? undefined : gone();
    if (reason !== undefined) controller.abort(reason);
    return isAborted();
  };
  return Object.defineProperties(signal, {
    aborted: { get: look },
    throwIfAborted: {
      value: () => {
        if (look()) throw signal.reason;
      },
    },
  });
}
