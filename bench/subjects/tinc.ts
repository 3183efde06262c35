import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { argv } from '../../lab/argv.ts'
import { script } from './bridged-namespaces.ts'
import { folderOf, routedPeer } from './routed-peer.ts'

const SHORT = 'ti'
const PORT = 655
const DEVICE = 'ti-tunnel'
/** As VXLAN's; tinc finds out by itself that the underlay carries it. */
const MTU = 1450
/** The kernel's usual 200 KB would be the first thing to overflow. */
const SOCKET_BUFFER = 1_048_576
const NAMES = ['first', 'second'] as const

/** tinc 1.0 without encryption or authentication of packets (to compare with VXLAN, which has none either), on a TUN interface. */
export const tinc = routedPeer({
  name: 'tinc',
  about: 'cipher, digest and compression none, mode router, no log, MTU 1450',
  package: 'tinc',
  between: { short: SHORT, digit: 4, net: '10.204', mtu: MTU },
  async connect(debian, sides, start) {
    const folders = sides.map((side) => folderOf(side, SHORT))
    for (const [index, { host, own }] of sides.entries()) {
      const [folder, name] = [folders[index]!, NAMES[index]!]
      mkdirSync(join(folder, 'hosts'))
      writeFileSync(
        join(folder, 'tinc.conf'),
        [
          `Name = ${name}`,
          'Mode = router',
          'AddressFamily = ipv4',
          `Interface = ${DEVICE}`,
          `UDPRcvBuf = ${SOCKET_BUFFER}`,
          `UDPSndBuf = ${SOCKET_BUFFER}`,
          ...(index === 1 ? [`ConnectTo = ${NAMES[0]}`] : []),
          '',
        ].join('\n'),
      )
      writeFileSync(
        join(folder, 'hosts', name),
        [
          `Address = ${host.ip}`,
          `Port = ${PORT}`,
          `Subnet = ${own}.0/24`,
          'Cipher = none',
          'Digest = none',
          'Compression = 0',
          'ClampMSS = no',
          '',
        ].join('\n'),
      )
      // Appends the public key to the host's file.
      await debian.run(host, ['usr/sbin/tincd', '-c', folder, '-K2048'], '\n\n')
    }
    for (const [index, folder] of folders.entries()) {
      const [own, other] = [NAMES[index]!, folders[1 - index]!]
      writeFileSync(join(other, 'hosts', own), readFileSync(join(folder, 'hosts', own)))
    }
    for (const [index, { host, far }] of sides.entries()) {
      const folder = folders[index]!
      await start(host, {
        name: 'tincd',
        argv: argv`usr/sbin/tincd --no-detach --config ${folder} --pidfile ${folder}/pid`,
        ready: async () => (await host.exec('ip', 'link', 'show', DEVICE)) !== '',
      })
      await host.machine.exec(
        script(`
          ip link set ${DEVICE} mtu ${MTU} up
          ip route add ${far}.0/24 dev ${DEVICE}`),
      )
    }
  },
})
