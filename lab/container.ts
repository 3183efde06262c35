import { argv } from './argv.ts'
import type { DockerHost } from './docker-host.ts'
import { OverlayError } from '../src/errors.ts'
import { PEER_PORT, udpQuestion } from './image.ts'

/** A running container of the lab's image, by name on its host. */
export class Container {
  readonly host: DockerHost
  readonly name: string

  constructor(host: DockerHost, name: string) {
    this.host = host
    this.name = name
  }

  /** Runs a program inside and gives what it printed. @throws OverlayError host_state */
  async exec(...words: string[]): Promise<string> {
    return this.host.docker('exec', this.name, ...words)
  }

  /** Its address in a Docker network; without a name in the only one it has. @throws OverlayError not_found */
  async ip(network?: string): Promise<string> {
    return this.#oneOf(await this.networks(), network)
  }

  /** Its IPv6 address likewise. @throws OverlayError not_found */
  async ip6(network?: string): Promise<string> {
    return this.#oneOf(await this.networks('GlobalIPv6Address'), network)
  }

  /** Docker network name to address, "" where it has none of that family. */
  async networks(
    field: 'IPAddress' | 'GlobalIPv6Address' = 'IPAddress',
  ): Promise<Record<string, string>> {
    const json = await this.host.docker(
      'inspect',
      '-f',
      '{{json .NetworkSettings.Networks}}',
      this.name,
    )
    const networks = JSON.parse(json) as Record<string, Record<typeof field, string>>
    return Object.fromEntries(Object.entries(networks).map(([name, each]) => [name, each[field]]))
  }

  /** The process number of its first process on the host, for `nsenter` there. */
  async pid(): Promise<number> {
    return Number(await this.host.docker('inspect', '-f', '{{.State.Pid}}', this.name))
  }

  /** One echo request that must be answered within the seconds given. @throws OverlayError host_state */
  async ping(ip: string, { seconds = 10, size = 56 } = {}): Promise<void> {
    await this.exec('ping', '-c', '1', '-W', String(seconds), '-s', String(size), ip)
  }

  /** Whether `ip` answers within a second; for places where it must not. */
  async reaches(ip: string): Promise<boolean> {
    return this.ping(ip, { seconds: 1 }).then(
      () => true,
      () => false,
    )
  }

  /** Asks the lab container at `ip` over TCP who it is talking to: the source address as the peer saw it. */
  async sourceSeenBy(ip: string, seconds = 3): Promise<string> {
    // Debian's busybox crashes on wget's own -T.
    return this.exec(...argv`timeout ${seconds} wget -q -O - http://${ip}/cgi-bin/peer`)
  }

  /** The same over UDP; empty when no answer comes within a second. */
  async udpSourceSeenBy(ip: string): Promise<string> {
    return (await this.exec('sh', '-c', udpQuestion(`${ip}:${PEER_PORT}`, 1))).trim()
  }

  async remove(): Promise<void> {
    await this.host.docker('rm', '-f', '-v', this.name)
  }

  #oneOf(found: Record<string, string>, network: string | undefined): string {
    const only = Object.keys(found).length === 1 ? Object.values(found)[0] : undefined
    const ip = network === undefined ? only : found[network]
    if (ip === undefined || ip === '') {
      throw new OverlayError(
        'not_found',
        `container ${this.name} on ${this.host.name} has no one address in ${network ?? 'its network'}: ${JSON.stringify(found)}`,
      )
    }
    return ip
  }
}
