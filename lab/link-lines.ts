import { z } from 'zod'

/** The fields of `ip -json -details link show` that say how a link is set up, not how it fares. */
const linksSchema = z.array(
  z.looseObject({
    ifname: z.string(),
    flags: z.array(z.string()),
    mtu: z.int(),
    txqlen: z.optional(z.int()),
    address: z.optional(z.string()),
    master: z.optional(z.string()),
    gso_max_size: z.optional(z.int()),
    linkinfo: z.optional(
      z.looseObject({
        info_kind: z.optional(z.string()),
        info_data: z.optional(z.record(z.string(), z.unknown())),
      }),
    ),
  }),
)

/** Of a kind's own settings; a bridge's many timers run by themselves. */
const KIND_DATA = new Set(['type', 'pi', 'vnet_hdr', 'multi_queue', 'persist', 'id', 'port'])

/** One line for each link: its name, kind and settings. @throws when the text is not that of `ip` */
export function linkLines(json: string): string[] {
  return linksSchema.parse(JSON.parse(json)).map((link) => {
    const data = Object.entries(link.linkinfo?.info_data ?? {})
      .filter(([name]) => KIND_DATA.has(name))
      .map(([name, value]) => `${name} ${String(value)}`)
    return [
      link.ifname,
      link.linkinfo?.info_kind ?? 'device',
      link.flags.includes('UP') ? 'up' : 'down',
      `mtu ${link.mtu}`,
      ...(link.address === undefined ? [] : [`address ${link.address}`]),
      ...(link.master === undefined ? [] : [`master ${link.master}`]),
      ...(link.txqlen === undefined ? [] : [`txqlen ${link.txqlen}`]),
      ...(link.gso_max_size === undefined ? [] : [`gso_max_size ${link.gso_max_size}`]),
      ...data,
    ].join(' ')
  })
}
