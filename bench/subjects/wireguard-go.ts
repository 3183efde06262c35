import { writeFileSync } from 'node:fs'
import { script, type BridgedSide } from './bridged-namespaces.ts'
import type { Debian } from './debian.ts'
import { folderOf, routedPeer } from './routed-peer.ts'

const SHORT = 'wg'
const PORT = 51_820
const DEVICE = 'wg-tunnel'
/** 1500 less IPv4, UDP, WireGuard's header and tag, rounded as wg-quick does it. */
const MTU = 1420

/**
 * WireGuard in Go, as Debian ships it: from 2022, before it learnt to take and give super-frames (TUN
 * segmentation offload and UDP_SEGMENT came in 2023). It encrypts (ChaCha20-Poly1305); there is no way not to.
 */
export const wireguardGo = routedPeer({
  name: 'wireguard-go',
  about:
    "Debian's version, older than its segmentation offloads; encrypts, which it cannot leave out; MTU 1420, no log",
  package: 'wireguard-go',
  between: { short: SHORT, digit: 1, net: '10.201', mtu: MTU },
  async connect(debian, sides, start) {
    for (const { host } of sides) {
      await start(host, {
        name: 'wireguard-go',
        argv: ['usr/bin/wireguard-go', '--foreground', DEVICE],
        // It refuses to work where the kernel could have WireGuard, unless told.
        env: { WG_PROCESS_FOREGROUND: '1', LOG_LEVEL: 'error' },
        ready: async () => (await debian.run(host, ['usr/bin/wg', 'show', DEVICE])) !== '',
      })
    }
    const keys: string[] = []
    for (const { host } of sides) {
      keys.push((await debian.run(host, ['usr/bin/wg', 'genkey'])).trim())
    }
    for (const [index, side] of sides.entries()) {
      await configure(debian, side, keys[index]!, keys[1 - index]!)
    }
  },
})

async function configure(
  debian: Debian,
  side: BridgedSide,
  ownKey: string,
  otherKey: string,
): Promise<void> {
  const { host, other, far } = side
  const otherPublic = await debian.run(host, ['usr/bin/wg', 'pubkey'], otherKey)
  // wg opens its input by name, which a pipe between programs may not have.
  const settings = `${folderOf(side, SHORT)}/wireguard.conf`
  const text = `
    [Interface]
    PrivateKey = ${ownKey}
    ListenPort = ${PORT}
    [Peer]
    PublicKey = ${otherPublic}
    Endpoint = ${other.ip}:${PORT}
    AllowedIPs = ${far}.0/24`
  writeFileSync(settings, text, { mode: 0o600 })
  await debian.run(host, ['usr/bin/wg', 'setconf', DEVICE, settings])
  await host.machine.exec(
    script(`
      ip link set ${DEVICE} mtu ${MTU} up
      ip route add ${far}.0/24 dev ${DEVICE}`),
  )
}
