import type { DockerHost } from '../lab/docker-host.ts'
import { Lab } from '../lab/lab.ts'
import { messageOf } from '../src/errors.ts'
import type { UnderlayLink } from './modes.ts'
import { CANDIDATES } from './subjects/candidates.ts'
import type { Absentee, Site, Subject } from './subjects/subject.ts'

/** Where the measurements take place: two Docker hosts, and between them each way to be compared. */
export interface Stage extends Site {
  readonly hosts: readonly [DockerHost, DockerHost]
  /** The first is ours, the second the reference of the ratios. */
  readonly subjects: readonly [ours: Subject, reference: Subject, ...others: Subject[]]
  /** Those that cannot run here, and why. */
  readonly absent: readonly Absentee[]
  /** The hosts' interfaces on the underlay. */
  readonly links: readonly UnderlayLink[]
  readonly rounds: number
  /** Seconds of each measurement. */
  readonly seconds: number
  readonly say: (line: string) => void
}

export type StageOptions = Pick<Stage, 'rounds' | 'seconds' | 'say'> & {
  /** Names of the subjects beside ours and the kernel's; all unless told. */
  readonly only?: readonly string[]
}

/** Builds the stage, gives it to the body and removes it, however that ends. */
export async function withStage<T>(
  options: StageOptions,
  body: (stage: Stage) => Promise<T>,
): Promise<T> {
  await using lab = await createLab(options.say)
  return await withSubjects(lab, options, body)
}

/** The two hosts, each with overlay-ts and a dockerd of its own, and etcd. */
export async function createLab(say: (line: string) => void): Promise<Lab> {
  return Lab.create({ hosts: ['96', '98'], plugin: 'before docker', onStep: say })
}

/** Places the subjects on the hosts, gives the stage to the body and removes them, however that ends. */
export async function withSubjects<T>(
  lab: Lab,
  { rounds, seconds, say, only }: StageOptions,
  body: (stage: Stage) => Promise<T>,
): Promise<T> {
  const hosts: [DockerHost, DockerHost] = [lab.host('96'), lab.host('98')]
  const [ours, reference, ...peers] = CANDIDATES
  const chosen = peers.filter(({ name }) => only === undefined || only.includes(name))
  const subjects: Subject[] = []
  const absent: Absentee[] = []
  await using placed = new AsyncDisposableStack()
  for (const candidate of [ours, reference, ...chosen]) {
    const { name, kind, about } = candidate
    try {
      const version = await candidate.version()
      const placement = await candidate.place({ lab, hosts })
      placed.defer(() => placement.remove())
      subjects.push({ ...placement, name, kind, about, version })
      say(`placed ${name} (${version})`)
    } catch (error) {
      // Without these two there is nothing to compare.
      if (candidate === ours || candidate === reference) throw error
      absent.push({ name, kind, why: messageOf(error) })
      say(`without ${name}: ${messageOf(error)}`)
    }
  }
  const [first, second, ...others] = subjects
  const links = [
    ...hosts.map(({ machine }) => ({ netns: machine.netns, device: 'eth0' })),
    ...subjects.flatMap((subject) => subject.links ?? []),
  ]
  const rest = { lab, hosts, links, absent, rounds, seconds, say }
  return await body({ ...rest, subjects: [first!, second!, ...others] })
}
