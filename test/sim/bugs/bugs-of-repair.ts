// Bugs of repair between owners.
import { type Bug, edit } from './bug.js'

export const REPAIR: readonly Bug[] = [
  {
    name: 'repairOneWayOnly',
    breaks: 'the owner that starts a repair takes what it lacks, and does not send what the other owner lacks',
    scenarios: ['missedWrites'],
    edits: [edit('actors/repair/repair-session', 'await this.#give(positions);', '')]
  },
  {
    name: 'repairOverwritesNewer',
    breaks: 'repair sends entries of any version, and the receiver stores them over newer ones',
    scenarios: ['olderBeside'],
    edits: [
      edit('anti-entropy/version-list', 'give: order > 0 ? [0] : []', 'give: [0]'),
      edit(
        'actors/replica/entry-writer',
        "if (verdict === 'newer' || verdict === 'here') {",
        "if ((verdict === 'newer' && origin !== 'repair') || verdict === 'here') {"
      )
    ]
  },
  {
    name: 'repairPassesBadEntry',
    breaks: 'repair sends a damaged entry to other owners, which store it',
    scenarios: ['rotBesideOld'],
    edits: [
      edit('actors/replica/repair-exchange', 'group.isSound = false;', ''),
      edit(
        'entry/block',
        'checkEnvelope(key, envelope) ? { slot, key, dataKey, envelope } : undefined',
        '({ slot, key, dataKey, envelope })'
      )
    ]
  },
  {
    name: 'repairReplacesDamaged',
    breaks: 'an entry of repair replaces a damaged entry, which may have been newer',
    scenarios: ['rotBesideOld'],
    edits: [
      edit('actors/replica/entry-writer', "sound === undefined && before !== undefined && origin === 'repair'", 'false')
    ]
  },
  {
    name: 'repairWithFormerOwner',
    breaks: 'slots that move are repaired, between the owners of all configs, ready or not',
    scenarios: ['repairWhileMoving'],
    edits: [
      edit(
        'anti-entropy/shared-slots',
        'isShared = here.length === 1 && owners.includes(one) && owners.includes(other);',
        'isShared = [one, other].every((id) => here.some((config) => config.owners.includes(id)));'
      ),
      edit('anti-entropy/shared-slots', 'isShared && mine[slot] === begin && theirs[slot] === begin', 'isShared')
    ]
  },
  {
    name: 'repairTrustsUncounted',
    breaks: 'slot sums are compared before the store has been counted',
    scenarios: ['uncounted'],
    edits: [edit('actors/replica/repair-exchange', 'if (!slotStats.isComplete)', 'if (false)')]
  }
]
