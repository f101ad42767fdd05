// The text after `ringd --help`: examples, and the meaning of each exit code, made from the table of errors.
import { ERRORS } from '../lib/errors.js'

const EXAMPLES = `
Examples
  ringd daemon --data ./a --port-base 4710                    found a ring
  ringd daemon --data ./b --port-base 4720 \\
               --join /ip4/127.0.0.1/tcp/4710                 join it
  ringd put greeting hello --data ./a                         store a value, through the daemon of ./a
  ringd get greeting --peer /ip4/127.0.0.1/tcp/4720           read it, through any peer
  tar c photos | ringd put backup - --data ./a                values are bytes; - is stdin
  ringd put session x --ttl 10m --data ./a                    expires in ten minutes; ringd ttl session says when
  ringd incr visits --data ./a                                adds one, atomically, and prints the sum
  ringd put lock me --if-absent --ttl 10s --data ./a          takes a lock: exit code 13 when somebody has it
  ringd status --data ./a                                     members, health, movement
  ringd transfers --watch --data ./a                          what moves, how quickly, how long it still takes
  ringd plan join --weight 2 --data ./a                       what a new member would move; changes nothing
  ringd leave --data ./b                                      hand everything over, then end
  ringd remove 3fa9c1d2 --data ./a                            go on without a member that is dead for good
  ringd limit 20MB --data ./a                                 move data at no more than that; ringd limit off ends it
  ringd verify --data ./a                                     whether all owners hold the same; changes nothing
  ringd doctor --data ./b                                     check the store of a daemon that is stopped
  ringd rescue --data ./b                                     last resort, when most members are lost for good
  redis-cli -p 4712 get greeting                              Redis clients work as well
  ringd secret new > ring.secret                              the secret of a ring on several machines
  ringd secret client --right data --secret-file ring.secret  the secret of a client

A client command finds its peer by --peer MULTIADDR, or by --data DIR (or RINGD_DATA) on the machine of the daemon.
With --peer it needs --secret-file FILE when the ring has a secret; with --data it needs none.
`

/** The end of `ringd --help`. */
export function helpText(): string {
  const rows = Object.entries(ERRORS)
    .map(([code, { exit, meaning }]) => ({ code, exit, meaning }))
    .sort((a, b) => a.exit - b.exit)
    .map(({ code, exit, meaning }) => `  ${exit}  ${code.padEnd(16)} ${meaning}`)
  return [EXAMPLES, 'Exit codes', '  0  done', ...rows].join('\n')
}
