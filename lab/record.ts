import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { OverlayError } from '../src/errors.ts'
import { startTimeOf } from './proc.ts'

/** Every lab has a folder in here; /tmp itself and not TMPDIR, so that any user's `down` finds it. */
export const LABS_DIR = '/tmp/overlay-ts-lab'

const recordSchema = z.strictObject({
  name: z.string(),
  /** The process that the lab lives and dies with; null is a standing lab. */
  owner: z.nullable(z.strictObject({ pid: z.int(), started: z.string() })),
  mtu: z.int(),
  /** Every machine, also one whose making was interrupted: written before it is made. */
  machines: z.array(z.strictObject({ name: z.string(), kind: z.enum(['docker', 'etcd']) })),
})

/** What must be known to find or remove a lab that another process made. */
export type LabRecord = z.infer<typeof recordSchema>

export const labDir = (lab: string): string => join(LABS_DIR, lab)
export const machineDir = (lab: string, machine: string): string => join(labDir(lab), machine)
export const netnsName = (lab: string, machine: string): string => `${lab}-${machine}`
/** Under the root of the version 2 control groups. */
export const cgroupName = netnsName

/** The machine that a namespace or control group of this name belongs to; undefined when it is not of the lab. */
export function machineOf(lab: string, name: string): string | undefined {
  const machine = name.startsWith(`${lab}-`) ? name.slice(lab.length + 1) : ''
  return /^(switch|etcd|\d+)$/.test(machine) ? machine : undefined
}

/** Begins a lab. @throws OverlayError conflict when one of that name stands */
export function claimName(record: LabRecord): void {
  if (existsSync(join(labDir(record.name), 'lab.json'))) {
    throw new OverlayError(
      'conflict',
      `a lab "${record.name}" stands already; use it, or remove it first (npm run lab -- down)`,
    )
  }
  writeRecord(record)
}

export function writeRecord(record: LabRecord): void {
  mkdirSync(labDir(record.name), { recursive: true })
  const path = join(labDir(record.name), 'lab.json')
  writeFileSync(`${path}.new`, `${JSON.stringify(record, null, 2)}\n`)
  renameSync(`${path}.new`, path)
}

/** @throws OverlayError not_found */
export function readRecord(lab: string): LabRecord {
  const path = join(labDir(lab), 'lab.json')
  if (!existsSync(path)) {
    throw new OverlayError('not_found', `there is no lab "${lab}"; make it with: npm run lab -- up`)
  }
  return recordSchema.parse(JSON.parse(readFileSync(path, 'utf8')))
}

export function allRecords(): LabRecord[] {
  if (!existsSync(LABS_DIR)) return []
  return readdirSync(LABS_DIR)
    .filter((name) => existsSync(join(labDir(name), 'lab.json')))
    .map(readRecord)
}

/** This process, told apart from a later one of the same number by its start time. */
export function thisProcess(): { pid: number; started: string } {
  return { pid: process.pid, started: startTimeOf(process.pid) ?? '' }
}

/** Whether the process that owns the lab is gone without having removed it. */
export function isAbandoned({ owner }: LabRecord): boolean {
  return owner !== null && startTimeOf(owner.pid) !== owner.started
}
