import { isMet, ratioOf, type Bench, type Figure, type Target } from './bench.ts'

export interface Results {
  readonly date: string
  readonly command: string
  readonly machine: readonly string[]
  readonly load: number
  readonly sections: readonly { readonly bench: Bench; readonly figures: readonly Figure[] }[]
}

/** The figures as Markdown, for docs/performance.md and the terminal alike. */
export function documentOf({ date, command, machine, load, sections }: Results): string {
  return [
    '# Performance',
    '',
    `Written by \`${command}\` on ${date}; run it to get your own figures.`,
    '',
    `Machine: ${machine.join(', ')}. Hosts are network namespaces of this one machine, joined by a switch, each with its own dockerd;`,
    'sender, receiver and both forwarders share its cores. Every way is measured in turn in every round, and a figure is the median of',
    `its rounds. The reference is the kernel's own VXLAN device, programmed as flannel does it and with the same bridge and veth hops on the same hosts.`,
    `Programs wanting to run before it began (load average): ${load.toFixed(2)}.`,
    ...sections.flatMap(({ bench, figures }) => [
      '',
      `## ${bench.title}`,
      '',
      bench.about,
      '',
      ...tableOf(figures),
    ]),
    '',
  ].join('\n')
}

function tableOf(figures: readonly Figure[]): string[] {
  const compared = figures.some(({ reference }) => reference !== null)
  const heads = [
    '',
    'overlay-ts',
    ...(compared ? ['kernel vxlan', 'ratio'] : []),
    'target',
    'measured',
  ]
  const rows = figures.map((figure) => {
    const { what, unit, ours, reference, note } = figure
    const ratio = ratioOf(figure)
    const against = compared
      ? [reference === null ? '' : `${say(reference)} ${unit}`, ratio?.toFixed(2) ?? '']
      : []
    return [what, `${say(ours)} ${unit}`, ...against, targetOf(figure), note]
  })
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [line(heads), line(heads.map(() => '---')), ...rows.map(line)]
}

function targetOf(figure: Figure): string {
  const met = isMet(figure)
  if (figure.target === null || met === null) return ''
  return `${wordsOf(figure.target, figure.unit)}: ${met ? 'met' : '**missed**'}`
}

function wordsOf({ of, atMost, atLeast }: Target, unit: string): string {
  const limit = atMost === undefined ? `≥ ${atLeast}` : `≤ ${atMost}`
  return of === 'ours' ? `${limit} ${unit}` : `${limit} ×`
}

/** Three digits that matter. */
function say(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
}
