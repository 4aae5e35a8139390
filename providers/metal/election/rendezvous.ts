import { createHash } from 'node:crypto';
import type { GroupKey, NodeName } from './types.ts';

/** Scores are asked for again and again; those of this many groups are remembered. */
const REMEMBERED = 8_192;
const known = new Map<GroupKey, Map<NodeName, number>>();

/**
 * How much a node is the one for a group, from 0 to 2^48 - 1: the same on every node, and independent of which other
 * nodes there are, so that a node that comes or goes moves only what is its own ("rendezvous hashing", Thaler and
 * Ravishankar 1998).
 */
export function scoreOf(node: NodeName, key: GroupKey): number {
  let scores = known.get(key);
  if (scores === undefined) {
    if (known.size >= REMEMBERED) known.clear();
    scores = new Map();
    known.set(key, scores);
  }
  let score = scores.get(node);
  if (score === undefined) {
    score = createHash('sha256').update(`${node}#${key}`).digest().readUIntBE(0, 6);
    scores.set(node, score);
  }
  return score;
}
