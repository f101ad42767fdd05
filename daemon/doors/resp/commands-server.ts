// The commands about the server: INFO, CONFIG GET, COMMAND, DBSIZE. They report only what Redis clients and tools ask
// for.
import type { Call, Command, CommandSettings } from './command.js'
import { REDIS_VERSION } from './commands-session.js'
import { bulk, ErrorReply, type Reply, VerbatimText } from './encoder.js'
import { matchGlob, PATTERN_BYTES_MAX } from './glob.js'

const NO_KEYS = [0, 0, 0] as const
const FLAGS = ['noscript', 'loading', 'stale']
/** The most patterns of CONFIG GET and sections of INFO. There are far fewer parameters and sections. */
const WORDS_MAX = 64
/** The most names of COMMAND INFO and COMMAND DOCS. The table has far fewer commands. */
const NAMES_MAX = 256
/** Longer than the name of any command or section. */
const NAME_BYTES_MAX = 64

function row(name: string, arity: number, since: string, summary: string, run: Command['run'], flags = FLAGS): Command {
  return { name, arity, flags, keys: NO_KEYS, group: 'server', since, summary, run }
}

/** `table` returns all commands of the door, including these. It is a function because these are part of it. */
export function serverCommands(table: () => ReadonlyMap<string, Command>): readonly Command[] {
  const commandCommands = [
    row('count', 2, '2.8.13', 'Returns a count of commands.', () => table().size),
    row('info', -2, '2.8.13', 'Returns information about one, multiple or all commands.', (call) => {
      if (call.args.length === 2) return allForms(table())
      return tooMany(call, NAMES_MAX, 'names') ?? namesIn(call).map((name) => form(table().get(name)))
    }),
    row('docs', -2, '7.0.0', 'Returns documentary information about one, multiple or all commands.', (call) => {
      if (call.args.length === 2) return docs(table(), table().keys())
      return tooMany(call, NAMES_MAX, 'names') ?? docs(table(), new Set(namesIn(call)))
    })
  ]
  return [
    row('info', -1, '1.0.0', 'Returns information and statistics about the server.', info, ['loading', 'stale']),
    row('dbsize', 1, '1.0.0', 'Returns the approximate number of keys that this peer stores.', (call) =>
      call.session.settings.info.keys()
    ),
    {
      ...row('config', -2, '2.0.0', 'A container for server configuration commands.', () => null),
      subcommands: [row('get', -3, '2.0.0', 'Returns the effective values of configuration parameters.', configGet)]
    },
    {
      ...row('command', -1, '2.8.13', 'Returns detailed information about all commands.', () => allForms(table())),
      subcommands: commandCommands
    }
  ]
}

/** A refusal when a request has more than `most` arguments behind its subcommand: its reply would be too long. */
function tooMany(call: Call, most: number, what: string): ErrorReply | undefined {
  if (call.args.length - 2 <= most) return undefined
  return new ErrorReply(`ERR at most ${most} ${what} in one request`)
}

/** The names in the arguments, in lower case. A text that is longer than any name is cut. */
function namesIn(call: Call): string[] {
  return call.args.slice(2).map(nameOf)
}

function nameOf(arg: Buffer): string {
  return arg.toString('latin1', 0, NAME_BYTES_MAX).toLowerCase()
}

function allForms(table: ReadonlyMap<string, Command>): Reply {
  return [...table.values()].map((command) => form(command))
}

/**
 * The ten elements of COMMAND INFO: name, arity, flags, first key, last key, step, ACL categories, tips, key specs,
 * subcommands.
 */
function form(command: Command | undefined, container?: string): Reply {
  if (command === undefined) return null
  const name = container === undefined ? command.name : `${container}|${command.name}`
  const subcommands = (command.subcommands ?? []).map((each) => form(each, name))
  return [bulk(name), command.arity, new Set(command.flags), ...command.keys, new Set<Reply>(), [], [], subcommands]
}

/** Each command once, as often as it may be named. */
function docs(table: ReadonlyMap<string, Command>, names: Iterable<string>): Reply {
  const found = [...names].map((name) => table.get(name)).filter((command) => command !== undefined)
  return new Map(found.map((command) => [bulk(command.name), knownDoc(command)]))
}

const knownDocs = new Map<Command, Reply>()

/** The doc of a command of the table, made once. */
function knownDoc(command: Command): Reply {
  const known = knownDocs.get(command) ?? doc(command)
  knownDocs.set(command, known)
  return known
}

function doc(command: Command, container?: string): Reply {
  const name = container === undefined ? command.name : `${container}|${command.name}`
  const fields: Array<[Reply, Reply]> = [
    [bulk('summary'), bulk(command.summary)],
    [bulk('since'), bulk(command.since)],
    [bulk('group'), bulk(command.group)]
  ]
  if (command.subcommands !== undefined) {
    const subcommands = command.subcommands.map((each): [Reply, Reply] => [
      bulk(`${name}|${each.name}`),
      doc(each, name)
    ])
    fields.push([bulk('subcommands'), new Map(subcommands)])
  }
  return new Map(fields)
}

type Fields = Readonly<Record<string, string | number>>

function sections({ info, host, port, stats, connectionsMax }: CommandSettings): Readonly<Record<string, Fields>> {
  const { uptimeMs, connections, connectionsReceived, connectionsRejected, connectionsEvicted, commands, bytesHeld } =
    stats()
  const keys = info.keys()
  const memory = info.memoryBytes()
  return {
    Server: {
      redis_version: REDIS_VERSION,
      ringd_version: info.version,
      redis_mode: 'standalone',
      process_id: info.processId,
      run_id: info.runId,
      tcp_port: port,
      listener0: `name=tcp,bind=${host},port=${port}`,
      uptime_in_seconds: Math.floor(uptimeMs / 1000),
      uptime_in_days: Math.floor(uptimeMs / 86_400_000)
    },
    Clients: { connected_clients: connections, maxclients: connectionsMax, blocked_clients: 0 },
    Memory: {
      used_memory: memory,
      used_memory_rss: memory,
      mem_clients_normal: bytesHeld,
      maxmemory: 0,
      maxmemory_policy: 'noeviction'
    },
    Persistence: { loading: 0 },
    Stats: {
      total_connections_received: connectionsReceived,
      total_commands_processed: commands,
      rejected_connections: connectionsRejected,
      evicted_clients: connectionsEvicted
    },
    Replication: { role: 'master', connected_slaves: 0 },
    Cluster: { cluster_enabled: 0 },
    Keyspace: keys > 0 ? { db0: `keys=${keys},expires=0,avg_ttl=0` } : {}
  }
}

function info(call: Call): Reply {
  if (call.args.length - 1 > WORDS_MAX) return new ErrorReply(`ERR at most ${WORDS_MAX} sections in one request`)
  const all = sections(call.session.settings)
  const wanted = new Set(call.args.slice(1).map(nameOf))
  const every = wanted.size === 0 || wanted.has('all') || wanted.has('default') || wanted.has('everything')
  const texts = Object.entries(all)
    .filter(([title]) => every || wanted.has(title.toLowerCase()))
    .map(([title, fields]) => [`# ${title}`, ...Object.entries(fields).map(([key, value]) => `${key}:${value}`), ''])
  return new VerbatimText(texts.map((lines) => lines.join('\r\n')).join('\r\n'))
}

/** Parameters that tools ask for. Acknowledged writes are on disk, so `appendonly yes` and `appendfsync always`. */
function parameters(settings: CommandSettings): Fields {
  return {
    appendfsync: 'always',
    appendonly: 'yes',
    bind: settings.host,
    'cluster-enabled': 'no',
    databases: 1,
    maxclients: settings.connectionsMax,
    maxmemory: 0,
    'maxmemory-policy': 'noeviction',
    port: settings.port,
    'proto-max-bulk-len': settings.valueBytesMax,
    save: '',
    timeout: settings.idleSeconds
  }
}

function configGet(call: Call): Reply {
  const refusal = tooMany(call, WORDS_MAX, 'patterns')
  if (refusal !== undefined) return refusal
  if (call.args.some((arg) => arg.length > PATTERN_BYTES_MAX)) {
    return new ErrorReply(`ERR a pattern has at most ${PATTERN_BYTES_MAX} bytes`)
  }
  const patterns = call.args.slice(2).map((arg) => arg.toString('latin1'))
  const found = Object.entries(parameters(call.session.settings)).filter(([name]) =>
    patterns.some((pattern) => matchGlob(pattern, name))
  )
  return new Map(found.map(([name, value]) => [bulk(name), bulk(String(value))]))
}
