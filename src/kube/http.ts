import type * as Http from 'node:http';

/**
 * `node:http`. Importing it into an ES module reads every export, WebSocket among them, for which Node loads undici: 30 ms
 * of processor time and 13 MB in each process, for something that Berth does not use.
 */
export const http: typeof Http = process.getBuiltinModule('node:http');
