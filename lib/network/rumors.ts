// Rumors over gossipsub: one topic for each ring. A rumor is looked at before it is delivered and passed on, so that no
// peer passes on what it would not read itself.
import { type GossipSub, type Message, TopicValidatorResult } from '@chainsafe/libp2p-gossipsub'
import type { Logger } from '../logger.js'
import type { PeerId } from '../member.js'
import { RUMOR_BYTES_MAX, rumorTopic } from './libp2p-options.js'

export interface RumorsDeps {
  readonly log: Logger
  readonly gossip: GossipSub
  /** See Network.admitRumors. */
  readonly admits: (from: PeerId, rumor: Uint8Array) => boolean
}

export class Rumors {
  private readonly deps: RumorsDeps
  private readonly listeners: Array<(from: PeerId, rumor: Uint8Array) => void> = []
  private topic: string | undefined

  constructor(deps: RumorsDeps) {
    this.deps = deps
    deps.gossip.addEventListener('message', ({ detail }) => {
      if (detail.topic === this.topic && detail.type === 'signed') this.deliver(detail.from.toString(), detail.data)
    })
  }

  /** Listens to the rumors of this ring, and to no others. '' is no ring. */
  follow(ringId: string): void {
    const { gossip } = this.deps
    const topic = ringId === '' ? undefined : rumorTopic(ringId)
    if (topic === this.topic) return
    if (this.topic !== undefined) {
      gossip.unsubscribe(this.topic)
      gossip.topicValidators.delete(this.topic)
    }
    this.topic = topic
    // Without a ring the topics of other peers are kept: one of them may be this peer's in a moment.
    allowOnly(gossip, topic)
    if (topic === undefined) return
    gossip.topicValidators.set(topic, (_via, message) => this.judge(message))
    gossip.subscribe(topic)
  }

  /** Never throws. */
  publish(rumor: Uint8Array): void {
    if (this.topic === undefined || rumor.length > RUMOR_BYTES_MAX) return
    this.deps.gossip
      .publish(this.topic, rumor)
      .catch((thrown: unknown) => this.deps.log.debug({ err: thrown }, 'rumor not published'))
  }

  listen(listener: (from: PeerId, rumor: Uint8Array) => void): void {
    this.listeners.push(listener)
  }

  /** What is not accepted is neither delivered nor passed on. */
  private judge(message: Message): TopicValidatorResult {
    if (message.type !== 'signed' || message.data.length > RUMOR_BYTES_MAX) return TopicValidatorResult.Reject
    // Ignored and not rejected: the peer that passed it on may know an older view, by which it was right.
    const admitted = this.deps.admits(message.from.toString(), message.data)
    return admitted ? TopicValidatorResult.Accept : TopicValidatorResult.Ignore
  }

  private deliver(from: PeerId, rumor: Uint8Array): void {
    for (const listener of this.listeners) {
      try {
        listener(from, rumor)
      } catch (thrown) {
        this.deps.log.error({ peer: from, err: thrown }, 'rumor listener failed')
      }
    }
  }
}

/** gossipsub takes the allowed topics when it is made, and the ring is known only later. */
function allowOnly(gossip: GossipSub, topic: string | undefined): void {
  const inner = gossip as unknown as { allowedTopics: Set<string> | null }
  inner.allowedTopics = topic === undefined ? null : new Set([topic])
}
