/**
 * Reads the protobuf bodies of `kubectl create namespace|service|configmap|secret`: those commands speak nothing else.
 * Answers are JSON, which every client takes. Field numbers: generated.proto of k8s.io/api and k8s.io/apimachinery.
 */
import type { Json, JsonObject } from '../machinery/objects.ts';
import { ApiError, badRequest } from '../machinery/status.ts';

/** The content type. */
export const PROTOBUF = 'application/vnd.kubernetes.protobuf';

type Type =
  | 'string'
  | 'int'
  | 'bool'
  | 'bytes'
  | 'time'
  | 'intOrString'
  | 'strings'
  | 'bytesByName'
  | Message;
type Message = Readonly<Record<number, readonly [name: string, type: Type, list?: 'list']>>;

const ownerReference: Message = {
  1: ['kind', 'string'],
  3: ['name', 'string'],
  4: ['uid', 'string'],
  5: ['apiVersion', 'string'],
  6: ['controller', 'bool'],
  7: ['blockOwnerDeletion', 'bool'],
};

const metadata: Message = {
  1: ['name', 'string'],
  2: ['generateName', 'string'],
  3: ['namespace', 'string'],
  5: ['uid', 'string'],
  6: ['resourceVersion', 'string'],
  7: ['generation', 'int'],
  8: ['creationTimestamp', 'time'],
  9: ['deletionTimestamp', 'time'],
  10: ['deletionGracePeriodSeconds', 'int'],
  11: ['labels', 'strings'],
  12: ['annotations', 'strings'],
  13: ['ownerReferences', ownerReference, 'list'],
  14: ['finalizers', 'string', 'list'],
};

const servicePort: Message = {
  1: ['name', 'string'],
  2: ['protocol', 'string'],
  3: ['port', 'int'],
  4: ['targetPort', 'intOrString'],
  5: ['nodePort', 'int'],
  6: ['appProtocol', 'string'],
};

const serviceSpec: Message = {
  1: ['ports', servicePort, 'list'],
  2: ['selector', 'strings'],
  3: ['clusterIP', 'string'],
  4: ['type', 'string'],
  5: ['externalIPs', 'string', 'list'],
  7: ['sessionAffinity', 'string'],
  8: ['loadBalancerIP', 'string'],
  9: ['loadBalancerSourceRanges', 'string', 'list'],
  10: ['externalName', 'string'],
  11: ['externalTrafficPolicy', 'string'],
  12: ['healthCheckNodePort', 'int'],
  13: ['publishNotReadyAddresses', 'bool'],
  14: ['sessionAffinityConfig', { 1: ['clientIP', { 1: ['timeoutSeconds', 'int'] }] }],
  17: ['ipFamilyPolicy', 'string'],
  18: ['clusterIPs', 'string', 'list'],
  19: ['ipFamilies', 'string', 'list'],
  20: ['allocateLoadBalancerNodePorts', 'bool'],
  21: ['loadBalancerClass', 'string'],
  22: ['internalTrafficPolicy', 'string'],
  23: ['trafficDistribution', 'string'],
};

const KINDS: Readonly<Record<string, Message>> = {
  Namespace: { 1: ['metadata', metadata] },
  Service: { 1: ['metadata', metadata], 2: ['spec', serviceSpec] },
  ConfigMap: {
    1: ['metadata', metadata],
    2: ['data', 'strings'],
    3: ['binaryData', 'bytesByName'],
    4: ['immutable', 'bool'],
  },
  Secret: {
    1: ['metadata', metadata],
    2: ['data', 'bytesByName'],
    3: ['type', 'string'],
    4: ['stringData', 'strings'],
    5: ['immutable', 'bool'],
  },
};

/** Every body starts with this and goes on with a `runtime.Unknown`, which names the kind and holds the object. */
const MAGIC = Buffer.from('k8s\0');

/** Decodes a body. @throws ApiError 400 when it is no such body, 415 for a kind that is not in the table above */
export function decodeProtobuf(body: Buffer): JsonObject {
  if (!body.subarray(0, 4).equals(MAGIC))
    throw badRequest('the body of the request is no Kubernetes protobuf');
  const envelope = new Map([...fieldsOf(body.subarray(4))].map(({ number, bytes }) => [number, bytes]));
  const [apiVersion = '', kind = ''] = [...fieldsOf(envelope.get(1) ?? Buffer.alloc(0))].map(({ bytes }) =>
    bytes.toString(),
  );
  const message = apiVersion === 'v1' ? KINDS[kind] : undefined;
  if (message === undefined) {
    throw new ApiError(415, 'UnsupportedMediaType', {
      message: `the sandbox reads protobuf of few kinds, and ${kind} is none of them; send application/json`,
    });
  }
  return { apiVersion, kind, ...decodeMessage(envelope.get(2) ?? Buffer.alloc(0), message) };
}

function decodeMessage(buffer: Buffer, message: Message): JsonObject {
  const result: JsonObject = {};
  for (const field of fieldsOf(buffer)) {
    const [name, type, list] = message[field.number] ?? [];
    if (name === undefined || type === undefined) continue;
    const value = decodeValue(field, type);
    const before = result[name];
    if (list) result[name] = [...(Array.isArray(before) ? before : []), value];
    else if (type === 'strings' || type === 'bytesByName')
      result[name] = { ...(before as object), ...(value as object) };
    else result[name] = value;
  }
  return result;
}

function decodeValue(field: RawField, type: Type): Json {
  if (typeof type === 'object') return decodeMessage(field.bytes, type);
  switch (type) {
    case 'string':
      return field.bytes.toString();
    case 'int':
      return field.int;
    case 'bool':
      return field.int !== 0;
    case 'time':
      return readTime(field.bytes);
    case 'intOrString': {
      const parts = new Map([...fieldsOf(field.bytes)].map((part) => [part.number, part]));
      return parts.get(1)?.int === 1 ? (parts.get(3)?.bytes.toString() ?? '') : (parts.get(2)?.int ?? 0);
    }
    default: {
      const [key, value] = [1, 2].map(
        (number) => [...fieldsOf(field.bytes)].find((part) => part.number === number)?.bytes,
      );
      return { [key?.toString() ?? '']: value?.toString(type === 'strings' ? 'utf8' : 'base64') ?? '' };
    }
  }
}

/** meta/v1 Time: seconds since the epoch; an empty message is no time. */
function readTime(buffer: Buffer): Json {
  const seconds = [...fieldsOf(buffer)].find(({ number }) => number === 1)?.int;
  return seconds === undefined ? null : new Date(seconds * 1000).toISOString();
}

interface RawField {
  readonly number: number;
  readonly int: number;
  readonly bytes: Buffer;
}

/** The fields of a message. Wire types: 0 varint, 1 and 5 fixed (not used here, skipped), 2 length-delimited. */
function* fieldsOf(buffer: Buffer): Generator<RawField> {
  let at = 0;
  const varint = (): number => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = buffer[at++];
      if (byte === undefined || shift > 63n) throw badRequest('the protobuf of the request ends too early');
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return Number(BigInt.asIntN(64, value));
    }
  };
  while (at < buffer.length) {
    const tag = varint();
    const [number, wire] = [tag >>> 3, tag & 7];
    const int = wire === 0 ? varint() : 0;
    const length = wire === 2 ? varint() : wire === 1 ? 8 : wire === 5 ? 4 : 0;
    if (length < 0 || at + length > buffer.length || wire === 3 || wire === 4 || wire > 5) {
      throw badRequest('the protobuf of the request is damaged');
    }
    yield { number, int, bytes: buffer.subarray(at, at + length) };
    at += length;
  }
}
