import type { HostState } from './host-state.ts'
import type { IpLink } from './ip.ts'

/** Whether the host forwards IPv6 from link to link: one setting for all of them. */
export const IPV6_FORWARDING = 'net/ipv6/conf/all/forwarding'

/**
 * A host that forwards IPv6 is a router to the kernel: it forgets the default routes that it learned
 * from router advertisements (rt6_purge_dflt_routers) and hears no further one, on all links but those
 * with accept_ra=2 (Documentation/networking/ip-sysctl.rst). So where a host's way into the world may
 * come from there, that is written first. The setting `forwarding` of one link, of whichever, has the
 * same effect on all of them and is left alone.
 */
export function keepHearing(
  links: readonly string[],
  sysctls: ReadonlyMap<string, string | null>,
): { readonly path: string; readonly value: string }[] {
  return links
    .map(settingsOf)
    .filter(({ acceptRa, forwarding }) => {
      return sysctls.get(acceptRa) === '1' && sysctls.get(forwarding) === '0'
    })
    .map(({ acceptRa }) => ({ path: acceptRa, value: '2' }))
}

/** The settings by which keepHearing() decides; none for a state that forwards no IPv6. */
export function hearingSettings(links: readonly string[], want: HostState): string[] {
  if (!want.sysctls.has(IPV6_FORWARDING)) return []
  return links.map(settingsOf).flatMap(({ acceptRa, forwarding }) => [acceptRa, forwarding])
}

/** Whether the link could hear router advertisements. A port of a bridge hears nothing itself. */
export const couldHear = ({ flags, linkinfo }: IpLink): boolean =>
  !flags.includes('LOOPBACK') && linkinfo?.info_slave_kind !== 'bridge'

function settingsOf(link: string): { acceptRa: string; forwarding: string } {
  const folder = `net/ipv6/conf/${link}`
  return { acceptRa: `${folder}/accept_ra`, forwarding: `${folder}/forwarding` }
}
