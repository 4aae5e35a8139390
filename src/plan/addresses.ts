import { familyOf, parseIp, type IpAddress, type IpFamily } from '../model/address.ts';
import type { Capabilities } from '../model/capabilities.ts';
import { InvalidSpec, Unsupported } from '../model/errors.ts';
import { ADDRESS_ANNOTATIONS, POOL_ANNOTATIONS, SHARING_ANNOTATIONS } from '../model/names.ts';
import type { Sharing } from '../model/pool.ts';
import { note, REASONS, type Note } from '../model/reasons.ts';
import { keyOf, portText, type Service, type ServiceKey } from '../model/service.ts';
import { compareText } from './step.ts';

/** What a Service asks of address assignment. */
export interface AddressRequest {
  readonly key: ServiceKey;
  readonly uid: string;
  readonly createdAtMs: number;
  /** Families to give one address each, the primary first. */
  readonly families: readonly IpFamily[];
  /** Whether all families are needed; otherwise the primary alone will do. */
  readonly allFamilies: boolean;
  /** Addresses that the user asked for, at most one for each family; empty for any. */
  readonly requested: readonly IpAddress[];
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Pool that the user asked for. */
  readonly pool?: string | undefined;
  /** With whom the address may be shared; absent: with nobody. */
  readonly sharing?: Sharing | undefined;
}

/**
 * The IP families that the load balancer gets: those of the Service that the provider can serve.
 *
 * @throws Unsupported `FamilyUnsupported` when a family is needed that the provider cannot serve.
 */
export function familiesOf(service: Service, capabilities: Capabilities): readonly IpFamily[] {
  const wanted: readonly IpFamily[] = service.ipFamilies.length > 0 ? service.ipFamilies : ['IPv4'];
  const served = wanted.filter((family) => capabilities.families.includes(family));
  const missing = wanted.filter((family) => !served.includes(family));
  const optional = service.ipFamilyPolicy === 'PreferDualStack' && served.length > 0;
  if (missing.length > 0 && !optional) {
    throw new Unsupported('FamilyUnsupported', {
      message: `spec.ipFamilies asks for ${missing.join(' and ')}, the provider serves ${capabilities.families.join(' and ')}`,
      remedy: REASONS.FamilyUnsupported.remedy,
    });
  }
  return served;
}

/**
 * The addresses that the Service asks for by field or annotation; empty when it does not, or when the provider cannot
 * give them (then a note says so).
 *
 * @throws InvalidSpec `AddressRequestConflict` when both field and annotation ask, `InvalidLoadBalancerIP` when a
 * value is not an IP, is of a family that the Service has not, or one family is asked for twice.
 */
export function requestedAddresses(
  service: Service,
  capabilities: Capabilities,
): { readonly requested: readonly IpAddress[]; readonly notes: readonly Note[] } {
  const asks = asksOf(service);
  const [asked] = asks;
  if (asked === undefined) return { requested: [], notes: [] };
  if (capabilities.loadBalancerIP === 'ignored') {
    const ignored = (ask: Ask): Note =>
      note('LoadBalancerIPIgnored', ask.subject, `${askText(ask)}, which the provider cannot give`);
    return { requested: [], notes: asks.map(ignored) };
  }
  if (asks.length > 1) {
    throw new InvalidSpec('AddressRequestConflict', {
      message: asks.map(askText).join(' and '),
      remedy: REASONS.AddressRequestConflict.remedy,
    });
  }
  const families = familiesOf(service, capabilities);
  const requested = asked.values.map((value) => {
    const ip = parseIp(value);
    if (ip === undefined)
      throw invalidRequest(
        `${asked.subject} has the value ${JSON.stringify(value)}, which is not an IP address`,
      );
    if (!families.includes(familyOf(ip))) {
      throw invalidRequest(`${asked.subject} asks for ${ip}, but the Service has ${families.join(' and ')}`);
    }
    return ip;
  });
  const twice = families.find((family) => requested.filter((ip) => familyOf(ip) === family).length > 1);
  if (twice !== undefined)
    throw invalidRequest(`${asked.subject} asks for several ${twice} addresses: ${requested.join(', ')}`);
  return { requested, notes: [] };
}

/** The request that address assignment decides on. Throws as `familiesOf` and `requestedAddresses` do. */
export function addressRequest(service: Service, capabilities: Capabilities): AddressRequest {
  return {
    key: keyOf(service),
    uid: service.uid,
    createdAtMs: service.createdAtMs,
    families: familiesOf(service, capabilities),
    allFamilies: service.ipFamilyPolicy === 'RequireDualStack',
    requested: requestedAddresses(service, capabilities).requested,
    namespace: service.namespace,
    labels: service.labels,
    pool: annotationOf(service, POOL_ANNOTATIONS),
    sharing: capabilities.sharing ? sharingOf(service) : undefined,
  };
}

/** What a Service with a sharing key shares an address under; `undefined` without one. */
export function sharingOf(service: Service): Sharing | undefined {
  const key = annotationOf(service, SHARING_ANNOTATIONS);
  if (key === undefined) return undefined;
  const selector = Object.entries(service.selector).toSorted(([a], [b]) => compareText(a, b));
  return {
    key,
    backend: service.externalTrafficPolicy === 'Local' ? JSON.stringify(selector) : '',
    ports: service.ports.map(portText),
  };
}

/** A note when the Service asks to share an address and the provider cannot. */
export function sharingNotes(service: Service, capabilities: Capabilities): readonly Note[] {
  const name = SHARING_ANNOTATIONS.find((key) => service.annotations[key] !== undefined);
  if (capabilities.sharing || name === undefined) return [];
  return [note('SharingIgnored', `annotation ${name}`, `annotation ${name} asks to share an address`)];
}

function annotationOf(service: Service, names: readonly string[]): string | undefined {
  const text = names.map((name) => service.annotations[name]?.trim()).find((value) => value !== undefined);
  return text === '' ? undefined : text;
}

interface Ask {
  readonly subject: string;
  readonly values: readonly string[];
}

function askText({ subject, values }: Ask): string {
  return `${subject} asks for ${values.join(', ')}`;
}

/** Field and annotation, as far as they ask for something; of several annotations the first one counts. */
function asksOf(service: Service): readonly Ask[] {
  const name = ADDRESS_ANNOTATIONS.find((key) => (service.annotations[key] ?? '').trim() !== '') ?? '';
  const values = (service.annotations[name] ?? '').split(',').map((value) => value.trim());
  const field = service.loadBalancerIP ?? '';
  return [
    ...(field === '' ? [] : [{ subject: 'spec.loadBalancerIP', values: [field] }]),
    ...(name === '' ? [] : [{ subject: `annotation ${name}`, values }]),
  ];
}

function invalidRequest(message: string): InvalidSpec {
  return new InvalidSpec('InvalidLoadBalancerIP', { message, remedy: REASONS.InvalidLoadBalancerIP.remedy });
}
