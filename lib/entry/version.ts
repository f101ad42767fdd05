// A version: 16 bytes that order all writes of all members. Pure.
//
//   ms u48 | counter u16 | first 8 bytes of the storeId          (big-endian)
//
// Invariant: versions sort as bytes (`compareBytes`): by the time of the hybrid clock, then by member. Two different
// writes never have one version.
// Source: Kulkarni et al. 2014, "Logical Physical Clocks".
import { type BrandedBytes, type Bytes, fromHex } from '../bytes.js'
import { assert } from '../errors.js'
import type { MemberId } from '../member.js'
import { readU16, readU48, U16_MAX, U48_MAX, writeU16, writeU48 } from './integers.js'

/** VERSION_BYTES bytes in the form above. */
export type Version = BrandedBytes<'Version'>

export const VERSION_BYTES = 16
/** The bytes of a storeId in a version: 64 random bits, so that members do not collide. */
export const VERSION_MEMBER_BYTES = 8
export const COUNTER_MAX = U16_MAX
const HIGHEST_MEMBER = new Uint8Array(VERSION_MEMBER_BYTES).fill(0xff)

/** `ms` in [0, 2^48), `counter` in [0, 65535], `member` 8 bytes. */
export function makeVersion(ms: number, counter: number, member: Bytes): Version {
  assert(ms >= 0 && ms <= U48_MAX, 'the ms of a version fits 48 bits')
  assert(counter >= 0 && counter <= COUNTER_MAX, 'the counter of a version fits 16 bits')
  assert(member.length === VERSION_MEMBER_BYTES, 'the member of a version is 8 bytes')
  const version = Buffer.allocUnsafe(VERSION_BYTES)
  writeU48(version, 0, ms)
  writeU16(version, 6, counter)
  version.set(member, 8)
  return asVersion(version)
}

/** The highest version of that ms. */
export function latestVersion(ms: number): Version {
  return makeVersion(ms, COUNTER_MAX, HIGHEST_MEMBER)
}

/** Bytes that are known to be a version: made here, cut from an envelope, or of the right length on the wire. */
export function asVersion(bytes: Bytes): Version {
  assert(bytes.length === VERSION_BYTES, 'a version is 16 bytes')
  return bytes as Version
}

export function versionMs(version: Version): number {
  return readU48(version, 0)
}

export function versionCounter(version: Version): number {
  return readU16(version, 6)
}

/** The part of a storeId with which the versions of its member end. */
export function versionMember(storeId: MemberId): Bytes {
  return fromHex(storeId.slice(0, 2 * VERSION_MEMBER_BYTES))
}
