// Headers of yamux frames, valid and not. Source: the yamux specification of hashicorp.

export const DATA = 0
export const WINDOW_UPDATE = 1
export const PING = 2
export const GO_AWAY = 3
export const SYN = 1
export const ACK = 2
export const FIN = 4
export const RST = 8

export interface YamuxHeader {
  readonly version?: number
  readonly type: number
  readonly flags?: number
  readonly streamId: number
  readonly length: number
}

/** 12 bytes, big-endian. */
export function yamuxHeader({ version = 0, type, flags = 0, streamId, length }: YamuxHeader): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(12)
  const view = new DataView(bytes.buffer)
  view.setUint8(0, version)
  view.setUint8(1, type)
  view.setUint16(2, flags)
  view.setUint32(4, streamId)
  view.setUint32(8, length)
  return bytes
}

/** Headers that a muxer must refuse, each with its reason. */
export const INVALID_HEADERS: ReadonlyArray<readonly [why: string, header: YamuxHeader]> = [
  ['unknown version', { version: 9, type: DATA, streamId: 1, length: 0 }],
  ['unknown type', { type: 77, streamId: 1, length: 0 }],
  ['unknown flags', { type: DATA, flags: 0xff00, streamId: 1, length: 0 }],
  ['data for the session', { type: DATA, streamId: 0, length: 0 }],
  ['window update for the session', { type: WINDOW_UPDATE, streamId: 0, length: 1 }],
  ['ping on a stream', { type: PING, flags: SYN, streamId: 1, length: 0 }],
  ['ping without a flag', { type: PING, streamId: 0, length: 0 }],
  ['answer to no ping', { type: PING, flags: ACK, streamId: 0, length: 77 }],
  ['second begin of a stream', { type: DATA, flags: SYN, streamId: 1, length: 0 }],
  ['stream of the wrong parity', { type: DATA, flags: SYN, streamId: 2, length: 0 }],
  ['data beyond the window', { type: DATA, streamId: 1, length: 0x7fffffff }],
  ['window beyond 32 bits', { type: WINDOW_UPDATE, streamId: 1, length: 0xffffffff }],
  ['end with an unknown reason', { type: GO_AWAY, streamId: 0, length: 0xffffffff }]
]
