import { writeFileSync } from 'node:fs'
import { script } from './bridged-namespaces.ts'
import { folderOf, routedPeer } from './routed-peer.ts'

const SHORT = 'fd'
const PORT = 10_000
const DEVICE = 'fd-tunnel'
/** As VXLAN's; 1500 less IPv4, UDP and its own byte would be more. */
const MTU = 1450

/** fastd without encryption ("null", to compare with VXLAN, which has none either), on a TUN interface. */
export const fastd = routedPeer({
  name: 'fastd',
  about: 'method null: neither encryption nor authentication, mode tun, MTU 1450',
  package: 'fastd',
  between: { short: SHORT, digit: 3, net: '10.203', mtu: MTU },
  async connect(debian, sides, start) {
    const secrets: string[] = []
    const publics: string[] = []
    for (const { host } of sides) {
      const text = await debian.run(host, ['usr/bin/fastd', '--generate-key'])
      const of = (word: string): string => new RegExp(`${word}: (\\w+)`).exec(text)?.[1] ?? ''
      secrets.push(of('Secret'))
      publics.push(of('Public'))
    }
    for (const [index, side] of sides.entries()) {
      const { host, other, far } = side
      const path = `${folderOf(side, SHORT)}/fastd.conf`
      writeFileSync(
        path,
        `mode tun;
        interface "${DEVICE}";
        mtu ${MTU};
        method "null";
        bind ${host.ip}:${PORT};
        secret "${secrets[index]!}";
        log level error;
        peer "other" { key "${publics[1 - index]!}"; remote ${other.ip}:${PORT}; }
        `,
        { mode: 0o600 },
      )
      await start(host, {
        name: 'fastd',
        argv: ['usr/bin/fastd', '--config', path],
        ready: async () => (await host.exec('ip', 'link', 'show', DEVICE)) !== '',
      })
      await host.machine.exec(
        script(`
          ip link set ${DEVICE} up
          ip route add ${far}.0/24 dev ${DEVICE}`),
      )
    }
  },
})
