/** Why an address and port cannot be listened on. */
export type ListenReason = 'PortDenied' | 'PortInUse' | 'AddressNotLocal' | 'ListenFailed';

/** Where something listens, or should. */
export interface ListenAddress {
  readonly address: string;
  readonly port: number;
  readonly protocol: 'TCP' | 'UDP';
}

const REASONS_BY_ERRNO: Readonly<Record<string, ListenReason>> = {
  EACCES: 'PortDenied',
  EPERM: 'PortDenied',
  EADDRINUSE: 'PortInUse',
  EADDRNOTAVAIL: 'AddressNotLocal',
};

const MEANINGS: Readonly<Record<ListenReason, string>> = {
  PortDenied: 'the process may not open it',
  PortInUse: 'another process has it',
  AddressNotLocal: 'this machine does not have the address',
  ListenFailed: 'it cannot be opened',
};

const REMEDIES: Readonly<Record<ListenReason, string>> = {
  PortDenied:
    'Allow it with `sysctl net.ipv4.ip_unprivileged_port_start=0` or `setcap cap_net_bind_service=+ep` on the node ' +
    'binary, or use a port from 1024 up',
  PortInUse: 'Stop the process that has the port (`ss -ltunp` names it), or use another port or address',
  AddressNotLocal:
    'Add the address to an interface (`ip address add ADDRESS dev lo`, on macOS `ifconfig lo0 alias ADDRESS`), or ' +
    'configure a pool of addresses that the machine has',
  ListenFailed: 'The cause says what the system answered',
};

/** A listener could not be opened. The reason comes from the errno; the message ends with the remedy. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
  readonly reason: ListenReason;
  /** What happened, without the remedy. */
  readonly what: string;
  readonly remedy: string;

  constructor({ address, port, protocol }: ListenAddress, cause: unknown) {
    const errno = (cause as NodeJS.ErrnoException | undefined)?.code ?? '';
    const reason = REASONS_BY_ERRNO[errno] ?? 'ListenFailed';
    const what = `cannot listen on ${at(address, port)}/${protocol}: ${MEANINGS[reason]} (${errno === '' ? 'no errno' : errno})`;
    super(`${what}. ${REMEDIES[reason]}.`, { cause });
    this.reason = reason;
    this.what = what;
    this.remedy = REMEDIES[reason];
  }
}

function at(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
