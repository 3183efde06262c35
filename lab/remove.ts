import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { waitFor } from '../test/support/wait.ts'
import { tryCommand } from './command.ts'
import { isFirstInPidNamespace } from './proc.ts'
import {
  allRecords,
  cgroupName,
  isAbandoned,
  labDir,
  LABS_DIR,
  machineOf,
  netnsName,
} from './record.ts'

/** Where iproute2 keeps named network namespaces. */
const NAMESPACES_DIR = '/run/netns'

/**
 * Removes every trace of a lab, whoever made it and however far that got: processes, with them the mounts and the
 * containers; network namespaces; control groups; files. All are found by the lab's name alone, so that neither a crash
 * nor a lost record hides any. What is gone already is no error.
 */
export async function removeLab(name: string): Promise<void> {
  const ofLab = (entry: string): boolean => machineOf(name, entry) !== undefined
  const namespaces = entriesOf(NAMESPACES_DIR).filter(ofLab)
  await Promise.all(namespaces.map(killAll))
  await Promise.all(namespaces.map((netns) => tryCommand(['ip', 'netns', 'delete', netns])))
  const root = cgroupRoot()
  if (root !== undefined) {
    const groups = entriesOf(root).filter(ofLab)
    await Promise.all(groups.map((group) => removeCgroup(join(root, group))))
  }
  rmSync(labDir(name), { recursive: true, force: true, maxRetries: 5 })
  removeIfEmpty(LABS_DIR)
}

/**
 * Cuts a machine's power: its processes, its network and its control groups are gone at once, its
 * files stay.
 */
export async function powerOff(lab: string, machine: string): Promise<void> {
  const netns = netnsName(lab, machine)
  await killAll(netns)
  await tryCommand(['ip', 'netns', 'delete', netns])
  const root = cgroupRoot()
  if (root !== undefined) await removeCgroup(join(root, cgroupName(lab, machine)))
}

/** Removes the labs whose processes ended without doing so, and gives their names. */
export async function removeAbandonedLabs(): Promise<string[]> {
  const abandoned = allRecords()
    .filter(isAbandoned)
    .map(({ name }) => name)
  await Promise.all(abandoned.map(removeLab))
  return abandoned
}

/** Whether anything of the lab is there, be it only a part. */
export function leavesTraces(name: string): boolean {
  return (
    existsSync(labDir(name)) ||
    entriesOf(NAMESPACES_DIR).some((entry) => machineOf(name, entry) !== undefined)
  )
}

/** What process 1 of a machine is given to take the others with it, and their parents out here to notice. */
const GRACE_MS = 1000

/** Kills a namespace's processes until there are none: first process 1 of the machine, then what has nothing to do with it. */
async function killAll(netns: string): Promise<void> {
  const deadline = Date.now() + GRACE_MS
  let hadFirst = false
  await waitFor(
    async () => {
      const pids = (await tryCommand(['ip', 'netns', 'pids', netns]))
        .split('\n')
        .filter(Boolean)
        .map(Number)
      const first = pids.filter(isFirstInPidNamespace)
      hadFirst ||= first.length > 0
      for (const pid of hadFirst && Date.now() < deadline ? first : pids) kill(pid)
      return pids.length === 0
    },
    { what: `the processes of ${netns} to end`, every: 10 },
  )
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It ended by itself.
  }
}

/** Where the real machine sees control groups of version 2. */
function cgroupRoot(): string | undefined {
  const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n')
  return mounts.find((line) => line.split(' ')[2] === 'cgroup2')?.split(' ')[1]
}

/** Removes a control group and those in it, waiting for the kernel to let go of the last process. */
async function removeCgroup(path: string): Promise<void> {
  for (const name of entriesOf(path)) await removeCgroup(join(path, name))
  for (let tries = 0; tries < 1500 && !removeIfEmpty(path); tries++) await sleep(20)
}

/** The folders (and namespace files) in a folder, none when it is gone; control files are not among them. */
function entriesOf(dir: string): string[] {
  try {
    return readdirSync(dir, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() || dir === NAMESPACES_DIR)
      .map(({ name }) => name)
  } catch {
    return []
  }
}

function removeIfEmpty(path: string): boolean {
  try {
    rmdirSync(path)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT'
  }
}
