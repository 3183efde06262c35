import { argv } from '../../lab/argv.ts'
import { script } from './bridged-namespaces.ts'
import { isUp, routedPeer } from './routed-peer.ts'

const SUPERNODE_PORT = 7654
const PORT = 7655
const DEVICE = 'n2n-tunnel'
/** Of the edges themselves, beside the bridges' subnets. */
const EDGE_NET = '10.202.255'
/** Its headers take 107 bytes; with its own choice of 1400 every full packet would be sent as two fragments. */
const MTU = 1360

/**
 * n2n of the first generation, which is what Debian ships: a supernode on the first host introduces the
 * edges of both to each other, after which they speak directly. It encrypts (Twofish) and compresses
 * (LZO); neither can be left out.
 */
export const n2n = routedPeer({
  name: 'n2n',
  about:
    'a supernode and an edge on each host, directly connected, packet forwarding on; encrypts (Twofish) and compresses (LZO), which it cannot leave out; MTU 1360',
  package: 'n2n',
  between: { short: 'n2n', digit: 2, net: '10.202', mtu: MTU },
  async connect(_, sides, start) {
    const [{ host: first }] = sides
    await start(first, {
      name: 'supernode',
      argv: argv`usr/bin/supernode -l ${SUPERNODE_PORT}`,
      ready: async () =>
        (await first.exec('ss', '-Hlun', 'sport', '=', String(SUPERNODE_PORT))) !== '',
    })
    for (const [index, side] of sides.entries()) {
      await start(side.host, {
        name: 'edge',
        argv: argv`usr/sbin/edge -d ${DEVICE} -a ${EDGE_NET}.${index + 1} -s 255.255.255.0 -c bench
          -l ${first.ip}:${SUPERNODE_PORT} -p ${PORT} -M ${MTU} -m 02:00:0a:ca:ff:0${index + 1} -r`,
        env: { N2N_KEY: 'the bench' },
        ready: () => isUp(side, DEVICE),
      })
      const via = `${EDGE_NET}.${2 - index}`
      await side.host.machine.exec(script(`ip route add ${side.far}.0/24 via ${via} dev ${DEVICE}`))
    }
  },
})
