import { fileURLToPath } from 'node:url';

/** Where the build leaves the fast path of ARP when there is a C compiler, seen from the sources and from what is built. */
const BUILT = import.meta.url.endsWith('.ts') ? '../../dist/wire/fast-path/' : './';

/** File of the compiled fast path for this kind of machine; there may be none. */
export const LIBRARY: string = fileURLToPath(new URL(`${BUILT}answer-${process.arch}.so`, import.meta.url));
