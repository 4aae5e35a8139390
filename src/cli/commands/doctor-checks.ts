/** The core's own checks of `berth doctor`. Pure: what was read goes in, what is to be said comes out. */
import { holderName } from '../../controller/lease-reading.ts';
import type { StatusEntry } from '../../controller/inspect.ts';
import type { LeaseRecord } from '../../kube/index.ts';
import { asBerthError } from '../../model/errors.ts';
import { LEASE_NAME } from '../../model/names.ts';
import { REASONS, type ReasonCode } from '../../model/reasons.ts';
import { keyOf, type Service } from '../../model/service.ts';
import type { DoctorCheck } from '../../provider/doctor.ts';
import { withoutRemedy } from './answers.ts';
import { counted } from '../terminal.ts';

/** More than this cannot be explained by a header that counts whole seconds and the way of an answer. */
const SKEW_MS = 5_000;
/** How many Services a message names. */
const NAMED = 3;

/** What could not be done, with the error's own remedy. */
export function problemCheck(
  check: string,
  error: unknown,
  outcome: 'failed' | 'skipped' = 'skipped',
): DoctorCheck {
  const { message, remedy } = asBerthError(error);
  const text = withoutRemedy(message, remedy);
  return { check, outcome, message: text, ...(remedy === '' ? {} : { remedy }) };
}

/** The clock of this machine against the API server's. `date`: its header, `nowMs`: when that came, since the epoch. */
export function clockCheck(date: string | undefined, nowMs: number): DoctorCheck {
  const check = 'clock';
  const server = Date.parse(date ?? '');
  if (Number.isNaN(server)) return { check, outcome: 'skipped', message: 'the API server sends no Date' };
  // The header's second began up to a second before it was written.
  const skew = nowMs - server;
  const off = skew < 0 ? skew : Math.max(0, skew - 1_000);
  const seconds = Math.round(Math.abs(off) / 1_000);
  if (Math.abs(off) <= SKEW_MS)
    return { check, outcome: 'ok', message: 'this machine and the API server agree on the time' };
  return {
    check,
    outcome: 'warning',
    message: `the clock of this machine is ${seconds} s ${off > 0 ? 'ahead of' : 'behind'} the API server's`,
    remedy: 'Let both be set by NTP; Berth itself waits by monotonic clocks and is not harmed',
  };
}

/** Who holds the Lease of the controllers, and whether it is renewed. `nowMs`: the API server's time, if known. */
export function leaseCheck(lease: LeaseRecord | undefined, namespace: string, nowMs: number): DoctorCheck {
  const check = 'controller';
  const name = `the Lease ${namespace}/${LEASE_NAME}`;
  const remedy = `Start \`berth run\`; where its Lease is elsewhere, say so with --leader-elect-namespace`;
  if (lease === undefined)
    return { check, outcome: 'failed', message: `there is no Lease ${namespace}/${LEASE_NAME}`, remedy };
  if (lease.holder === '') return { check, outcome: 'failed', message: `nobody holds ${name}`, remedy };
  const holder = holderName(lease.holder);
  const ageMs = nowMs - Date.parse(lease.renewTime);
  if (ageMs > lease.durationMs + SKEW_MS) {
    const message = `${holder} holds ${name} and has not renewed it for ${Math.round(ageMs / 1_000)} s`;
    return {
      check,
      outcome: 'failed',
      message,
      remedy: 'Look at its log, and at that of the other replicas: one of them should have taken it over',
    };
  }
  return { check, outcome: 'ok', message: `${holder} holds ${name}` };
}

/** Services of type LoadBalancer that wait for an address and that nobody serves, by class. */
export function unservedChecks(
  services: readonly Service[],
  status: readonly StatusEntry[],
): readonly DoctorCheck[] {
  const check = 'unserved';
  const served = new Set(status.map(({ key }) => key));
  const waiting = services.filter(
    (service) =>
      service.type === 'LoadBalancer' && service.ingress.length === 0 && !served.has(keyOf(service)),
  );
  const byClass = Map.groupBy(waiting, ({ loadBalancerClass }) => loadBalancerClass);
  if (byClass.size === 0)
    return [
      { check, outcome: 'ok', message: 'every Service of type LoadBalancer has somebody who serves it' },
    ];
  return [...byClass].map(([name, those]) => ({
    check,
    subject: name ?? '<no class>',
    outcome: 'warning',
    message: `nobody has given ${named(those.map(keyOf))} an address, and Berth does not serve this class`,
    remedy: REASONS.NotServed.remedy,
  }));
}

/** Services that Berth serves and that are not as they ask, by reason. */
export function statusChecks(status: readonly StatusEntry[]): readonly DoctorCheck[] {
  const check = 'services';
  const open = status.filter(({ state, reason }) => state !== 'True' && reason !== 'Paused');
  const count = `${counted(status.length - open.length, 'Service')} of ${status.length}`;
  const ok: DoctorCheck = { check, outcome: 'ok', message: `${count} are as they ask` };
  const troubles = [...Map.groupBy(open, ({ reason }) => reason)].map(([reason, those]): DoctorCheck => {
    const known = REASONS[reason as ReasonCode];
    const [first] = those;
    const [message, remedy] = [known?.meaning ?? first?.message ?? '', known?.remedy ?? ''];
    return {
      check,
      subject: reason,
      outcome: those.some(({ state }) => state === 'False') ? 'failed' : 'warning',
      message: `${counted(those.length, 'Service')}, ${named(those.map(({ key }) => key))}: ${message}`,
      ...(remedy === '' ? { remedy: `berth explain ${first?.key ?? ''} says more` } : { remedy }),
    };
  });
  return troubles.length === 0 ? [ok] : troubles;
}

function named(keys: readonly string[]): string {
  const shown = keys.toSorted().slice(0, NAMED);
  const more = keys.length - shown.length;
  return `${shown.join(', ')}${more === 0 ? '' : ` and ${more} more`}`;
}
