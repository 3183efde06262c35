import { argv } from '../../../lab/argv.ts'
import type { DockerHost } from '../../../lab/docker-host.ts'
import type { Lab } from '../../../lab/lab.ts'
import { BRIDGE } from '../../../lab/switch.ts'
import { waitFor } from '../../support/wait.ts'

/**
 * The lab's gateway tells a host, as routers do every few minutes, that it is a default router of IPv6 for so
 * many seconds (a Router Advertisement, RFC 4861 section 4.2).
 */
export async function advertiseRouter(lab: Lab, host: DockerHost, seconds: number): Promise<void> {
  const to = await waitFor(
    async () => {
      const link = await host.exec(...argv`ip -6 -o address show dev eth0 scope link`)
      return !link.includes('tentative') && / inet6 ([\da-f:]+)\//.exec(link)?.[1]
    },
    { what: `a link-local address of ${host.name}`, timeout: 30_000 },
  )
  // It counts only with a hop limit of 255, which no router leaves whole.
  const address = `IP6-SENDTO:[${to}%${BRIDGE}]:58,ipv6-unicast-hops=255`
  await lab.switch.exec(
    'sh',
    '-ec',
    // Asked by its neighbours, it has to say that it is a router.
    `echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
    printf '${advertisement(seconds)}' | socat -u - '${address}'`,
  )
}

/** Type 134, a hop limit of 64, the lifetime, and nothing said of the rest, as printf's octal; the kernel writes the checksum. */
function advertisement(seconds: number): string {
  const message = Buffer.alloc(16)
  message.set([134, 0, 0, 0, 64])
  message.writeUInt16BE(seconds, 6)
  return Array.from(message, (byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('')
}
