/** Loopback addresses for nodes and backends, claimed so that two sandboxes on one machine do not share any. */
import { createServer, type Server } from 'node:net';

/** The addresses of one set of nodes. */
export interface AddressPlan {
  /** Address of node 1, 2, ... @throws RangeError beyond 253 nodes */
  node(index: number): string;
  /** Address of backend 1, 2, ... @throws RangeError beyond 253 backends */
  backend(index: number): string;
  /** Gives the addresses back. */
  release(): void;
}

/** The claim is a listener on this last octet, at a port that nothing else uses on loopback. */
const CLAIM_HOST = 254;
const CLAIM_PORT = 10_255;
const LAST_HOST = 253;
const BLOCKS = 256;

/**
 * Claims a block: nodes get `A.B.X.1` and up, backends `A.(B+1).X.1` and up, where X is the first free one. `base`
 * (`127.66.0.0`) gives A, B and the first X to try.
 *
 * @throws Error when the machine does not have these addresses, or all blocks are taken
 */
export async function claimAddresses(base: string): Promise<AddressPlan> {
  const [a = 127, b = 66, first = 0] = base.split('.').map(Number);
  for (let block = first; block < BLOCKS; block++) {
    const claim = await tryClaim(`${a}.${b}.${block}.${CLAIM_HOST}`);
    if (claim === undefined) continue;
    return {
      node: (index) => `${a}.${b}.${block}.${host(index)}`,
      backend: (index) => `${a}.${b + 1}.${block}.${host(index)}`,
      release: () => void claim.close(),
    };
  }
  throw new Error(
    `All blocks of ${base} are in use by other sandboxes; end one of them or give another base.`,
  );
}

function host(index: number): number {
  if (index >= 1 && index <= LAST_HOST) return index;
  throw new RangeError(`A sandbox has at most ${LAST_HOST} nodes and ${LAST_HOST} backends; ask for fewer.`);
}

async function tryClaim(address: string): Promise<Server | undefined> {
  const server = createServer().unref();
  const { promise, resolve, reject } = Promise.withResolvers<Server | undefined>();
  server.once('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EADDRINUSE') resolve(undefined);
    else reject(unusable(address, error));
  });
  server.listen(CLAIM_PORT, address, () => resolve(server));
  return promise;
}

function unusable(address: string, cause: Error): Error {
  const remedy =
    'Linux has all of 127.0.0.0/8; elsewhere add addresses to the loopback interface or give a base whose addresses this machine has.';
  return new Error(`Simulated nodes cannot listen on ${address}: ${cause.message}. ${remedy}`, { cause });
}
