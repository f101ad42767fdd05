// secret: prints new ring secrets, and the client secrets that follow from one. Connects to no peer.
import { fchmodSync, fstatSync } from 'node:fs'
import { type Command, Option } from 'commander'
import { RingdError } from '../../lib/errors.js'
import { clientSecret, clientSecretText, newSecret, RIGHTS, type Right, secretText } from '../../lib/network/secrets.js'
import { systemRandom } from '../../lib/system-random.js'
import { readRingSecrets } from '../secret-files.js'

const STDOUT = 1

interface ClientOptions {
  readonly right: Right
  readonly secretFile?: string
}

export function addSecretCommand(program: Command): void {
  const secret = program.command('secret').description('make the secrets that admit peers and clients')
  secret.helpCommand(false)
  secret
    .command('new')
    .description('print a new ring secret: ringd secret new > FILE, then --secret-file FILE for every peer')
    .action(() => print(secretText(newSecret(systemRandom))))
  secret
    .command('client')
    .description('print the secret of clients with one right, from the ring secret')
    .addOption(
      new Option('--right <right>', 'data: keys and reports; operator: also leave, remove, repair and verify')
        .choices(RIGHTS)
        .makeOptionMandatory()
    )
    .option('--secret-file <file>', 'the file with the ring secret (default: $RINGD_SECRET_FILE)')
    .action(async ({ right, secretFile }: ClientOptions) => {
      const path = secretFile ?? process.env['RINGD_SECRET_FILE']
      if (!path) throw new RingdError('BAD_REQUEST', 'give --secret-file FILE with the ring secret')
      const [ring] = await readRingSecrets({ path, isCredential: false })
      print(clientSecretText(right, clientSecret(ring!, right)))
    })
}

/** A file that the shell has made for stdout gets the mode that daemons ask for, before the secret is in it. */
function print(line: string): void {
  if (fstatSync(STDOUT).isFile()) fchmodSync(STDOUT, 0o600)
  process.stdout.write(`${line}\n`)
}
