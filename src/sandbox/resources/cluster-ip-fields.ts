/** How `clusterIP`, `clusterIPs`, `ipFamilies` and `ipFamilyPolicy` must agree with each other. */
import type { ServiceObject } from '../machinery/objects.ts';
import type { FieldErrors } from '../machinery/status.ts';
import { familyOf } from './allocation.ts';
import { isHeadless } from './service-kinds.ts';

const BAD_IP = 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)';

/** Checks what was asked for, before anything is given out. */
export function validateClusterIpFields(service: ServiceObject, errors: FieldErrors): void {
  const { clusterIP, clusterIPs = [], ipFamilies = [], ipFamilyPolicy } = service.spec;
  if (clusterIP === undefined && clusterIPs.length > 0) {
    errors.invalid('spec.clusterIPs', clusterIPs, 'must be empty when `clusterIP` is not specified');
  } else if (clusterIP !== undefined && clusterIPs.length === 0) errors.required('spec.clusterIPs');
  else if (clusterIP !== undefined && clusterIPs[0] !== clusterIP) {
    errors.invalid('spec.clusterIPs', clusterIPs, 'first value must match `clusterIP`');
  }
  for (const [index, family] of ipFamilies.entries()) {
    errors.oneOf(`spec.ipFamilies[${index}]`, family, ['IPv4', 'IPv6']);
    if (ipFamilies.indexOf(family) < index) errors.duplicate(`spec.ipFamilies[${index}]`, family);
  }
  if (ipFamilyPolicy !== undefined) {
    const policies = ['PreferDualStack', 'RequireDualStack', 'SingleStack'];
    errors.oneOf('spec.ipFamilyPolicy', ipFamilyPolicy, policies);
  }
  validateAddresses(service, errors);
}

function validateAddresses(service: ServiceObject, errors: FieldErrors): void {
  const { clusterIPs = [], ipFamilies = [] } = service.spec;
  if (clusterIPs[0] === 'None' && clusterIPs.length > 1) {
    errors.invalid('spec.clusterIPs', clusterIPs, "'None' must be the first and only value");
  }
  if (isHeadless(service)) return;
  const families = clusterIPs.map(familyOf);
  for (const [index, family] of families.entries()) {
    const [field, wanted] = [`spec.clusterIPs[${index}]`, ipFamilies[index]];
    if (family === undefined) errors.invalid(field, clusterIPs[index], BAD_IP);
    else if (wanted !== undefined && wanted !== family) {
      const why = `expected an ${wanted} value as indicated by \`ipFamilies[${index}]\``;
      errors.invalid(field, clusterIPs[index], why);
    }
  }
  if (clusterIPs.length > 2) errors.invalid('spec.clusterIPs', clusterIPs, 'may only hold up to 2 values');
  if (clusterIPs.length > 1 && !families.includes(undefined) && new Set(families).size < clusterIPs.length) {
    errors.invalid('spec.clusterIPs', clusterIPs, 'may specify no more than one IP for each IP family');
  }
}
