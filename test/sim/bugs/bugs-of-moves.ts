// Bugs of the fence, of pulls, of readiness and of settling.
import { type Bug, edit } from './bug.js'

/** Otherwise an owner that does not know the view refuses the newcomer before it comes to the fence, and after it. */
const ANYBODY_PULLS = [
  edit('actors/admission', 'export const MAY_PULL = MEMBERS;', 'export const MAY_PULL = WITH_JOINERS;'),
  edit(
    'actors/replica/pull-source',
    'const refusal = () => fence.refusesPull(config, ranges, view, from.storeId);',
    'const refusal = () => undefined;'
  )
]

export const MOVES: readonly Bug[] = [
  {
    name: 'noFence',
    breaks: 'an owner admits operations of an older config than the newest one that it knows',
    scenarios: ['lateWriteAfter'],
    edits: [
      edit(
        'actors/replica/fence',
        'if (newestConfig(this.#view.configs.windows[slot]).begin > message.view)',
        'if (newestConfig(this.#view.configs.windows[slot]).begin < 0)'
      )
    ]
  },
  {
    name: 'pullWithoutFence',
    breaks: 'a source answers a pull although it does not know the view of the puller',
    scenarios: ['lateWriteMid'],
    edits: [
      edit(
        'actors/replica/pull-source',
        'snapshot(message) {',
        'snapshot(message) { message = { ...message, view: 0 };'
      ),
      ...ANYBODY_PULLS
    ]
  },
  {
    name: 'snapshotBeforeFence',
    breaks: 'a source takes the snapshot before it learns the view of the puller',
    scenarios: ['lateWriteMid'],
    edits: [
      edit(
        'actors/replica/pull-source',
        'snapshot(message) {',
        'snapshot(message) {',
        // The promises are asked for first, and would make this member learn the view.
        'if (message.withPromises) {',
        'return message.reply({ ready: false, closing: [], closed: [], promises: [] }); }',
        'message.earlySums ??= message.withSums ? this.#deps.sums(slotsOf(message.ranges)) : undefined;',
        'message.early ??= Promise.all(message.ranges.map(async (range) => { const all = [];',
        'const blocks = this.#deps.reader.blocks({ ranges: [range], after: undefined }, 1 << 20,',
        '() => undefined, () => {});',
        'for await (const block of blocks) all.push(block); return all; }));'
      ),
      edit(
        'actors/replica/pull-source',
        '(after, bytesMax) => reader.blocks({ ranges, after }, bytesMax, refusal, (range) => this.#show([range]))',
        'async function* () { yield* (await message.early).flat(); }'
      ),
      edit('actors/replica/pull-source', '(withSums ? sums(slotsOf(ranges))', '(withSums ? message.earlySums'),
      ...ANYBODY_PULLS
    ]
  },
  {
    name: 'noDrain',
    breaks: 'a source takes the snapshot before the admitted writes are stored',
    scenarios: ['lateWriteAdmitted'],
    edits: [edit('actors/replica/pull-source', '};\n        barrier(applied);', '};\n        applied(undefined);')]
  },
  {
    name: 'pullFromOne',
    breaks: 'a newcomer pulls from one owner of a config, which quorums of that config can have missed',
    scenarios: ['oneSource'],
    edits: [edit('views/configs', 'return config.owners.length - config.quorum + 1', 'return 1')]
  },
  {
    name: 'unreachableIsLost',
    breaks: 'an owner that cannot be reached counts as lost, so a pull does not ask it',
    scenarios: ['oneSource'],
    edits: [edit('views/pull-plan', '!lost.has(id) || preferred.includes(id)', 'preferred.includes(id)')]
  },
  {
    name: 'stayerSkipsPull',
    breaks: 'an owner that stays calls itself ready without a pull',
    scenarios: ['lazyStayer'],
    edits: [
      edit(
        'views/pull-plan',
        'const earlier = job.window.slice(0, -1);',
        'const earlier = job.window.slice(0, -1);',
        "if (earlier.at(-1)?.owners.includes(self)) return { kind: 'merge', sources: [], isAtRisk: false };"
      )
    ]
  },
  {
    name: 'growerSkipsPull',
    breaks: 'an owner that stays calls itself ready without a pull when no owner was removed',
    scenarios: ['lazyGrower'],
    edits: [
      edit(
        'views/pull-plan',
        'const earlier = job.window.slice(0, -1);',
        'const earlier = job.window.slice(0, -1);',
        'const last = earlier.at(-1);',
        'if (last?.owners.includes(self) && last.owners.every((id) => job.config.owners.includes(id)))',
        "return { kind: 'merge', sources: [], isAtRisk: false };"
      )
    ]
  },
  {
    name: 'shrinkerSkipsPull',
    breaks: 'an owner that stays calls itself ready without a pull when no owner was added',
    scenarios: ['lazyShrinker'],
    edits: [
      edit(
        'views/pull-plan',
        'const earlier = job.window.slice(0, -1);',
        'const earlier = job.window.slice(0, -1);',
        'const last = earlier.at(-1);',
        'if (last?.owners.includes(self) && job.config.owners.every((id) => last.owners.includes(id)))',
        "return { kind: 'merge', sources: [], isAtRisk: false };"
      )
    ]
  },
  {
    name: 'readyForAnything',
    breaks: 'an owner that was ready for an older config counts as ready for the newest one',
    scenarios: ['lazyStayer', 'sameOwnersAgain'],
    edits: [edit('views/readiness', '?.[slot] === config.begin)', '?.[slot] > 0)')]
  },
  {
    name: 'settledByOne',
    breaks: 'a config counts as settled when one of its owners is ready',
    scenarios: ['oneReady'],
    edits: [
      edit(
        'views/readiness',
        'readyOwners(config, slot, readiness) < config.quorum',
        'readyOwners(config, slot, readiness) < 1'
      )
    ]
  },
  {
    name: 'settledByPullQuorum',
    breaks: 'a config of two counts as settled when one of its owners is ready',
    scenarios: ['growTwo'],
    edits: [
      edit(
        'views/readiness',
        'readyOwners(config, slot, readiness) < config.quorum',
        'readyOwners(config, slot, readiness) < config.owners.length - config.quorum + 1'
      )
    ]
  },
  {
    name: 'vacuousReady',
    breaks: 'an owner of a settled config calls itself ready without a pull, because no older config is left',
    scenarios: ['vacuousReady'],
    edits: [edit('views/pull-plan', 'if (earlier.length === 0)\n        return undefined;', '')]
  },
  {
    name: 'newcomerToldTooMuch',
    breaks: 'a newcomer learns that the newest config is settled although it is not',
    scenarios: ['blindJoiner'],
    edits: [
      edit(
        'views/ring-state',
        'bases: state.view === undefined ||',
        'bases: digest.view === 0 && state.view !== undefined',
        '? new Uint32Array(SLOTS).fill(state.view.number) : state.view === undefined ||'
      )
    ]
  },
  {
    name: 'anotherLifePulled',
    breaks: 'in pulls a peer that came back as another member counts as its former member',
    scenarios: ['anotherLifePulled'],
    edits: [
      edit('actors/migration/migration', 'isMemberAt(network, peerId, member)', 'network.link(peerId) !== undefined'),
      edit(
        'actors/migration/pull-streams',
        '!isMemberAt(network, peerId, member)',
        'network.link(peerId) === undefined'
      ),
      edit('actors/migration/pull-streams', 'blocks.from.storeId !== member', 'false')
    ]
  },
  {
    name: 'tombstonesStayBehind',
    breaks: 'a transfer leaves out tombstones',
    scenarios: ['deletedStays'],
    edits: [
      edit(
        'actors/replica/entry-reader',
        'const key = storedKey.subarray(DATA_KEY_OVERHEAD);',
        'const key = storedKey.subarray(DATA_KEY_OVERHEAD);',
        'if (envelope[21] === 1) continue;'
      )
    ]
  },
  {
    name: 'lastSlotSkipped',
    breaks: 'a pull leaves out the last of its slots',
    scenarios: ['lastSlot'],
    edits: [
      edit(
        'actors/migration/slot-pull',
        'const { slots, sources } = this.#options;',
        'const { sources } = this.#options; const slots = this.#options.slots.slice(0, -1);'
      )
    ]
  },
  {
    name: 'borderSkipped',
    breaks: 'a source leaves out the entry that did not fit a block',
    scenarios: ['blockBorder'],
    edits: [
      edit(
        'actors/replica/entry-reader',
        'yield writer.take();\n                    writer.add(storedKey, envelope);',
        'yield writer.take();'
      )
    ]
  },
  {
    name: 'creditIgnored',
    breaks: 'a source sends whatever the credit, and the puller does not notice',
    scenarios: ['slowPuller'],
    edits: [
      edit(
        'actors/migration/source-stream',
        'while (this.#error === undefined && this.#credit < Math.min(bytes, WINDOW_BYTES))',
        'while (false)'
      ),
      edit('actors/migration/puller-stream', 'if (bytes > this.#credit && this.#credit < WINDOW_BYTES)', 'if (false)')
    ]
  },
  {
    name: 'touchForgotten',
    breaks: 'an entry of a slot that held nothing is stored without a look-up, although its key was written meanwhile',
    scenarios: ['writtenBeforePull'],
    edits: [edit('actors/replica/fresh-slots', 'touched.add(name);', '')]
  },
  {
    name: 'heldCountsAsPulled',
    breaks: 'a slot of which something is here counts as pulled',
    scenarios: ['restartedPuller'],
    edits: [edit('actors/migration/slot-pull', 'await source.compare(held);', '')]
  },
  {
    name: 'receiptWithoutComparison',
    breaks: 'entries count in a receipt before both ends have compared their counts and checksums',
    scenarios: ['lostInTransit'],
    edits: [
      edit(
        'actors/migration/slot-pull',
        'total.check(end);\n        this.#pull.options.progress?.compared(',
        'this.#pull.options.progress?.compared('
      ),
      edit(
        'actors/migration/slot-pull',
        'total.stored.count, total.stored.checksum);',
        'total.stored.count, total.stored.checksum); total.check(end);'
      )
    ]
  }
]
