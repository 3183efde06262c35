import assert from 'node:assert/strict'
import type { Container } from '../../../lab/container.ts'
import type { DockerHost } from '../../../lab/docker-host.ts'
import { PEER_PORT, udpQuestion } from '../../../lab/image.ts'
import { formatIpv6, parseIpv6 } from '../../../src/net/ipv6.ts'
import { waitFor } from '../../support/wait.ts'

/** Who asks: a container, or a host for itself. */
export type Asker = Pick<Container | DockerHost, 'exec' | 'name'>

/** What a peer of the lab's image answered: the source address it saw, "" for no answer; ICMP tells yes or no. */
export interface Answer {
  readonly tcp: string
  readonly udp: string
  readonly icmp: boolean
}

/** For an address that must answer to `source`. */
export const seenAs = (source: string): Answer => ({ tcp: source, udp: source, icmp: true })

export const NO_ANSWER: Answer = { tcp: '', udp: '', icmp: false }

/** All questions at once, one line for each answer. Both sides' shells have the same programs. */
const ASK = `seconds=$1; shift
tcp() { echo "$1,tcp,$(timeout $seconds busybox wget -q -O - "http://$1/cgi-bin/peer" 2>/dev/null)"; }
udp() { echo "$1,udp,$(${udpQuestion(`$1:${PEER_PORT}`, '$seconds')} 2>/dev/null)"; }
tcp6() { echo "$1,tcp,$(timeout $seconds socat -u "TCP6:[$1]:${PEER_PORT}" - 2>/dev/null)"; }
udp6() { echo "$1,udp,$(${udpQuestion(`[$1]:${PEER_PORT}`, '$seconds')} 2>/dev/null)"; }
icmp() { busybox ping -q -c 1 -W $seconds "$1" >/dev/null 2>&1 && echo "$1,icmp,yes"; }
for ip in "$@"; do
  case $ip in *:*) six=6 ;; *) six= ;; esac
  tcp$six "$ip" & udp$six "$ip" & icmp "$ip" &
done
wait`

/**
 * Asks the lab's services at each address, of either family, over TCP, UDP and ICMP which source they see; each is asked
 * once, and heard for so many seconds: none is waited for that has answered.
 */
export async function answersFrom(
  asker: Asker,
  ips: readonly string[],
  seconds = 10,
): Promise<Record<string, Answer>> {
  const text = await asker.exec('busybox', 'sh', '-c', ASK, 'ask', String(seconds), ...ips)
  const lines = new Set(text.split('\n'))
  const source = (ip: string, way: string): string =>
    written([...lines].find((line) => line.startsWith(`${ip},${way},`))?.split(',')[2] ?? '')
  return Object.fromEntries(
    ips.map((ip) => [
      ip,
      { tcp: source(ip, 'tcp'), udp: source(ip, 'udp'), icmp: lines.has(`${ip},icmp,yes`) },
    ]),
  )
}

/** An address as Docker writes it: socat gives IPv6 in brackets and with all its zeros. */
function written(source: string): string {
  const ipv6 = /^\[(.+)\]$/.exec(source)?.[1]
  return ipv6 === undefined ? source : formatIpv6(parseIpv6(ipv6))
}

/** Waits until a service at each address answers at all; what it answers is the caller's to judge. */
export async function untilAnswered(asker: Asker, ips: readonly string[]): Promise<void> {
  let seconds = 0
  await waitFor(
    async () => {
      // A busy machine may never be done with all of them in a second.
      seconds = Math.min(seconds + 1, 5)
      const answers = Object.entries(await answersFrom(asker, ips, seconds))
      const silent = answers.filter(([, { tcp, udp }]) => tcp === '' || udp === '')
      assert.deepEqual(silent, [])
      return true
    },
    { what: `${asker.name} to hear from ${ips.join(', ')}`, timeout: 60_000, every: 200 },
  )
}

/** Each address must answer, and have seen `source`. */
export async function assertReaches(
  asker: Asker,
  ips: readonly string[],
  source: string,
): Promise<void> {
  await untilAnswered(asker, ips)
  const wanted = Object.fromEntries(ips.map((ip) => [ip, seenAs(source)]))
  assert.deepEqual(await answersFrom(asker, ips), wanted, `what the peers of ${asker.name} saw`)
}

/** No address may answer, in any way. Shows nothing unless the same asker's questions are answered elsewhere. */
export async function assertSilent(asker: Asker, ips: readonly string[]): Promise<void> {
  const wanted = Object.fromEntries(ips.map((ip) => [ip, NO_ANSWER]))
  assert.deepEqual(await answersFrom(asker, ips, 1), wanted, `what ${asker.name} heard`)
}
