// The few parts of the protobuf encoding that attackers write by hand, for messages whose types libp2p does not export.

export function varint(value: number): Uint8Array {
  const bytes: number[] = []
  let rest = value
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80)
    rest = Math.floor(rest / 0x80)
  }
  bytes.push(rest)
  return Uint8Array.from(bytes)
}

/** A field of bytes, text or a nested message. */
export function field(number: number, content: Uint8Array | string): Uint8Array {
  const bytes = Buffer.from(content)
  return Buffer.concat([varint(number * 8 + 2), varint(bytes.length), bytes])
}

/** A field of a whole number or a boolean. */
export function whole(number: number, value: number): Uint8Array {
  return Buffer.concat([varint(number * 8), varint(value)])
}

/** The message after its length. */
export function prefixed(message: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.concat([varint(message.length), message]))
}
