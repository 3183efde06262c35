import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const exec = promisify(execFile)

/** An authority of its own with a server pair for loopback or the addresses given, and a client pair, as PEM files. */
export class Certificates implements AsyncDisposable {
  readonly #folder: string

  private constructor(folder: string) {
    this.#folder = folder
  }

  static async create(addresses = ['127.0.0.1', '127.0.0.2']): Promise<Certificates> {
    const made = new Certificates(await mkdtemp(join(tmpdir(), 'ovt-certs-')))
    const openssl = (command: string): Promise<unknown> =>
      exec('openssl', command.split(' '), { cwd: made.#folder })
    const pair = (name: string): string => `-newkey rsa:2048 -nodes -keyout ${name}.key`
    await openssl(`req -x509 -out ca.crt -days 2 -subj /CN=test-authority ${pair('ca')}`)
    const names = addresses.map((ip) => `IP:${ip}`).join(',')
    await writeFile(made.file('san'), `subjectAltName=${names}\n`)
    for (const name of ['server', 'client']) {
      await openssl(`req -out ${name}.csr -subj /CN=${name} ${pair(name)}`)
      await openssl(
        `x509 -req -in ${name}.csr -out ${name}.crt -days 2 -CA ca.crt -CAkey ca.key -CAcreateserial -extfile san`,
      )
    }
    return made
  }

  file(name: string): string {
    return join(this.#folder, name)
  }

  read(name: string): Promise<string> {
    return readFile(this.file(name), 'utf8')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true })
  }
}
