// The composition root: builds the real adapters and the node on them, opens the doors when it serves, and closes
// everything in the opposite order. No other file knows them all.
import { type Bytes, toHex } from '../lib/bytes.js'
import type { Reports, Topic } from '../lib/client/reports.js'
import { RingdError, toRingdError } from '../lib/errors.js'
import { LargeWork } from '../lib/large-work.js'
import { limitedLog } from '../lib/limited-log.js'
import type { Logger } from '../lib/logger.js'
import type { MemberId } from '../lib/member.js'
import {
  newPrivateKey,
  type PrivateKey,
  peerIdOf,
  privateKeyFromBytes,
  privateKeyToBytes,
  sign,
  verify
} from '../lib/network/identity.js'
import { createLibp2pNetwork, type Libp2pNetworkOptions } from '../lib/network/libp2p.js'
import type { ClientHandler } from '../lib/network/network.js'
import { RingNode } from '../lib/node/node.js'
import type { NodeOptions } from '../lib/node/node-options.js'
import { confirmNewIdentity, readStoreIdentity, type StoreIdentity } from '../lib/node/store-identity.js'
import type { VerifyOrder } from '../lib/node/verification.js'
import type { SlotRange } from '../lib/ring/slots.js'
import { type DataDirectory, damaged, openDataDirectory } from '../lib/storage/data-directory.js'
import { openLevelStore } from '../lib/storage/level.js'
import type { Store } from '../lib/storage/store.js'
import { systemClock } from '../lib/system-clock.js'
import { systemCompression } from '../lib/system-compression.js'
import { systemRandom } from '../lib/system-random.js'
import type { Signer } from '../lib/views/join.js'
import type { RingView } from '../lib/views/ring-view.js'
import { hostPort } from './address.js'
import type { DaemonConfig } from './config.js'
import { clientDoor } from './doors/client.js'
import type { DoorInfo } from './doors/resp/command.js'
import { RespDoor, type RespDoorDeps } from './doors/resp/server.js'
import { createMetrics, type DaemonMetrics } from './metrics.js'
import { openFilesLimit, shareOpenFiles, tellOpenFiles } from './open-files.js'
import type { RunningDaemon } from './run-file.js'
import type { DaemonSecrets } from './secret-files.js'
import { HOUR_MS } from './setting-help.js'
import { beatenSettings, overruledSettings } from './settings-without-effect.js'
import { VERSION } from './version.js'

/** Shown as 40 hex digits, as in Redis. */
const RUN_ID_BYTES = 20
const DAY_MS = 24 * HOUR_MS

/** Resolves when the daemon serves. Throws RingdError by code (DATA_LOCKED, PORT_IN_USE, WRONG_RING...). */
export async function runDaemon(config: DaemonConfig, log: Logger, secrets: DaemonSecrets): Promise<RunningDaemon> {
  const undo: (() => Promise<unknown>)[] = []
  try {
    return await compose(config, log, secrets, undo)
  } catch (thrown) {
    for (const step of undo.reverse()) await step().catch(() => {})
    throw thrown
  }
}

async function compose(
  config: DaemonConfig,
  log: Logger,
  secrets: DaemonSecrets,
  undo: (() => Promise<unknown>)[]
): Promise<RunningDaemon> {
  const openFiles = shareOpenFiles(openFilesLimit())
  tellOpenFiles(openFiles, log)
  const directory = await openDataDirectory(config.data, VERSION, { uid: process.geteuid?.() })
  warnOfMendedFiles(directory, log)
  const { store, damagedKeys } = await openCheckedStore(directory, log)
  undo.push(() => store.close())
  const identity = await readStoreIdentity(store, systemClock, systemRandom)
  const privateKey = identity.needsNewKey
    ? await newIdentity(directory, store, log)
    : await identityOf(directory, config.data)
  await directory.complete()
  await secrets.loadOperator(config.data, systemRandom, log)

  const seams = { clock: systemClock, random: systemRandom, log: limitedLog(log, systemClock) }
  const metrics = createMetrics()
  const largeWork = new LargeWork(systemClock, () => performance.eventLoopUtilization().active)
  const network = await createLibp2pNetwork(
    { ...seams, metrics, largeWork, hlc: identity.peerClock, privateKey, keyring: secrets.keyring },
    { ...networkOptions(config, identity), connections: openFiles.network }
  )
  undo.push(() => network.stop())
  const node = new RingNode(
    {
      ...seams,
      compression: systemCompression,
      metrics,
      store,
      damaged: damagedKeys,
      identity,
      network,
      signer: signerOf(privateKey),
      freeBytes: () => directory.freeBytes(),
      ballast: await directory.ballast(),
      largeWork
    },
    nodeOptions(config)
  )
  undo.push(() => node.stop())
  const now = () => identity.ringTime.now()
  network.serveClients(doorOfClients(config, node, metrics, now))

  await node.start()
  const reached = { listen: network.listening(), announce: network.addresses() }
  log.info({ peerId: network.peerId, storeId: node.storeId, ...reached, join: config.join }, 'listening')
  const hasLeft = await untilServing(node)
  warnOfSettings(node, log)
  const seamsOfDoor = { log, metrics, largeWork, now }
  const door = hasLeft ? undefined : await openRespDoor(config, node, openFiles.redis, seamsOfDoor)
  return {
    runInfo: () => ({
      pid: process.pid,
      peerId: network.peerId,
      storeId: node.storeId,
      multiaddrs: network.listening(),
      announced: network.addresses(),
      resp: door === undefined ? null : door.address,
      version: VERSION
    }),
    async stop() {
      await door?.stop()
      await node.stop()
    },
    failed: node.failed,
    left: node.left
  }
}

/** A store that was a member of a ring never founds another one. */
function networkOptions(config: DaemonConfig, { membership }: StoreIdentity): Libp2pNetworkOptions {
  const { ring, formerPeers, wantedRing } = membership
  const wasMember = ring.view !== undefined || formerPeers !== undefined
  const { listen, announce, expect } = config
  return { listen, announce, ring: config.ring ?? wantedRing, expects: wasMember ? 0 : expect }
}

/** How many of the mended paths a log line names. */
const MENDED_SHOWN = 5

function warnOfMendedFiles({ path, mended }: DataDirectory, log: Logger): void {
  if (mended.length === 0) return
  const text = 'other users of this machine could read files of the data directory until now; they cannot any more'
  log.warn({ data: path, files: mended.length, first: mended.slice(0, MENDED_SHOWN) }, text)
}

/** Checks the whole store, which takes seconds for each GiB, and opens it. Throws DATA_DAMAGED. */
async function openCheckedStore(directory: DataDirectory, log: Logger) {
  const { storePath, isNew } = directory
  const damagedKeys: Bytes[] = []
  const begun = systemClock.elapsed()
  if (!isNew)
    log.info({ store: storePath }, 'checking the store before opening it; other members get no answer meanwhile')
  const onDamaged = (keys: readonly Bytes[]) => void damagedKeys.push(...keys)
  const store = await openLevelStore(storePath, { createIfMissing: isNew, onDamaged })
  log.debug({ ms: Math.round(systemClock.elapsed() - begun) }, 'store checked and opened')
  return { store, damagedKeys }
}

function nodeOptions(config: DaemonConfig): NodeOptions {
  const { join, ring, expect: expects, zone, weight, replicas, maxKeyBytes, maxValueBytes } = config
  const { hintBytesMax, hintAgeMs, evictAfterMs, onLoss, purgeAfterMs, scrubDays } = config
  const membership = { join, ring, expects, zone, weight, replicas, maxKeyBytes, maxValueBytes }
  const recovery = { hintBytesMax, hintAgeMs, evictAfterMs, onLoss, purgeAfterMs, scrubMs: scrubDays * DAY_MS }
  return { ...membership, ...recovery, version: VERSION, advice: (view, address) => adviceOn(config, view, address) }
}

function warnOfSettings(node: RingNode, log: Logger): void {
  for (const setting of node.settingsWithoutEffect) log.warn({ setting }, 'a setting has no effect')
}

/** Settings of this peer without effect in this ring. */
function adviceOn(config: DaemonConfig, view: RingView, address: string | undefined): readonly string[] {
  const { founding, members, self } = view
  const ring = { replicas: founding.replicas, members: members.size, member: members.get(self), address }
  return [...beatenSettings(config), ...overruledSettings(config, ring)]
}

/** Reads the private key of this data directory. A new key is on disk before it is used. */
async function identityOf(directory: DataDirectory, root: string): Promise<PrivateKey> {
  const bytes = await directory.readIdentity()
  if (bytes !== undefined) return readKey(bytes, root)
  const key = await newPrivateKey(systemRandom)
  await directory.writeIdentity(privateKeyToBytes(key))
  return key
}

/**
 * A directory that gave up its membership takes a new key: a copy of it, or what stays of its former member, may still
 * run under the old one. Others that name this peer by `/p2p/ID` must be told the new id.
 */
async function newIdentity(directory: DataDirectory, store: Store, log: Logger): Promise<PrivateKey> {
  const key = await newPrivateKey(systemRandom)
  await directory.replaceIdentity(privateKeyToBytes(key))
  await confirmNewIdentity(store)
  log.warn({ peerId: peerIdOf(key) }, 'this directory becomes a new member: its peer has a new id')
  return key
}

function readKey(bytes: Bytes, root: string): PrivateKey {
  try {
    return privateKeyFromBytes(bytes)
  } catch (thrown) {
    throw damaged(root, toRingdError(thrown).message, thrown)
  }
}

function signerOf(key: PrivateKey): Signer {
  return {
    sign: async (bytes) => sign(key, bytes),
    verify: async (peerId, bytes, signature) => verify(peerId, bytes, signature)
  }
}

/** Waits until the node serves. True when it has left instead, by a request before a restart. Throws why it failed. */
async function untilServing(node: RingNode): Promise<boolean> {
  const end = await Promise.race([node.serving(), node.failed, node.left.then(() => true)])
  if (end instanceof RingdError) throw end
  return end === true
}

function doorOfClients(config: DaemonConfig, node: RingNode, metrics: DaemonMetrics, now: () => number): ClientHandler {
  const report = async (topic: Topic, argument: Bytes): Promise<Reports[Topic]> =>
    topic === 'metrics' ? { text: await metrics.registry.metrics() } : node.report(topic, argument)
  const depart = (member: MemberId | undefined, options: { readonly force: boolean }) =>
    member === undefined ? node.leave(options) : node.remove(member, options)
  const repair = (range: SlotRange | undefined) => node.repair(range)
  const verify = (order: VerifyOrder | undefined) => node.verify(order)
  const consistency = { read: config.readConsistency, write: config.writeConsistency }
  const limit = (bytesPerS: number) => node.limit(bytesPerS)
  return clientDoor({ keyValue: node.keyValue, now, report, depart, repair, verify, limit }, consistency)
}

/** The facts of this process that INFO reports. */
function doorInfo(node: RingNode): DoorInfo {
  return {
    version: VERSION,
    runId: toHex(systemRandom.bytes(RUN_ID_BYTES)),
    processId: process.pid,
    keys: () => node.totals.entries,
    largestNear: (key) => node.largestNear(key),
    memoryBytes: () => process.memoryUsage.rss()
  }
}

async function openRespDoor(
  config: DaemonConfig,
  node: RingNode,
  maxConnections: number,
  deps: Pick<RespDoorDeps, 'log' | 'metrics' | 'largeWork' | 'now'>
): Promise<{ readonly address: string; stop(): Promise<void> } | undefined> {
  if (config.resp === undefined) return undefined
  const { maxKeyBytes, maxValueBytes, respPassword, respIdleSeconds } = config
  const door = new RespDoor(
    { ...deps, keyValue: node.keyValue, clock: systemClock, info: doorInfo(node) },
    {
      ...config.resp,
      ...(respPassword !== undefined && { password: respPassword }),
      consistency: { read: config.readConsistency, write: config.writeConsistency },
      maxKeyBytes,
      maxValueBytes,
      maxConnections,
      idleSeconds: respIdleSeconds
    }
  )
  const { host, port } = await door.start()
  return { address: hostPort(host, port), stop: () => door.stop() }
}
