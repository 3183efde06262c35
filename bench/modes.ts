import { argv } from '../lab/argv.ts'
import { command } from '../lab/command.ts'
import { OverlayError } from '../src/errors.ts'
import type { Stage } from './stage.ts'

/**
 * What the underlay does with super-frames of up to 64 KB. "passed": a veth pair carries them uncut from
 * one host's memory to the other's, the kernel's best case, which no wire has. "segmented": the sending
 * host's kernel cuts them, and the receiving one puts them together again (GRO), as with a network card
 * that cannot segment what is inside a tunnel.
 */
export type ModeName = 'passed' | 'segmented'

const CUT = [
  'tx-tcp-segmentation',
  'tx-tcp-ecn-segmentation',
  'tx-tcp-mangleid-segmentation',
  'tx-tcp6-segmentation',
  'tx-udp-segmentation',
  'tx-udp_tnl-segmentation',
  'tx-udp_tnl-csum-segmentation',
] as const

type Features = ReadonlyMap<string, boolean>

/**
 * Sets every host's underlay, for all subjects alike, and sets it back when disposed of.
 * @throws OverlayError host_state when the kernel does not do as told
 */
export async function inMode({ links }: Stage, mode: ModeName): Promise<AsyncDisposable> {
  const restore = new AsyncDisposableStack()
  if (mode === 'passed') return restore
  try {
    for (const link of links) {
      const before = await featuresOf(link)
      const wanted = new Map<string, boolean>([
        ...CUT.filter((name) => before.has(name)).map((name) => [name, false] as const),
        ['generic-receive-offload', true],
      ])
      restore.defer(() => set(link, before, wanted.keys()))
      await set(link, wanted, wanted.keys())
    }
  } catch (error) {
    await restore.disposeAsync()
    throw error
  }
  return restore
}

/** An interface of the underlay, in a host's network namespace. */
export interface UnderlayLink {
  readonly netns: string
  readonly device: string
}

async function set(link: UnderlayLink, to: Features, names: Iterable<string>): Promise<void> {
  const words = [...names].flatMap((name) => [name, to.get(name) === true ? 'on' : 'off'])
  await ethtool(link, '-K', words)
  const now = await featuresOf(link)
  const refused = [...names].filter((name) => now.get(name) !== to.get(name))
  if (refused.length === 0) return
  throw new OverlayError(
    'host_state',
    `${link.device} of ${link.netns} was to change ${words.join(' ')}, but ${refused.join(', ')} stayed`,
  )
}

/** Lines like "tx-udp-segmentation: on"; what cannot be changed, "off [fixed]", is left out. */
async function featuresOf(link: UnderlayLink): Promise<Features> {
  const text = await ethtool(link, '-k', [])
  return new Map(
    [...text.matchAll(/^\s*(\S+): (on|off)$/gm)].map(([, name, state]) => [name!, state === 'on']),
  )
}

async function ethtool(
  { netns, device }: UnderlayLink,
  verb: '-k' | '-K',
  words: readonly string[],
): Promise<string> {
  return command(argv`ip netns exec ${netns} ethtool ${verb} ${device} ${words}`)
}
