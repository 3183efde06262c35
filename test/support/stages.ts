import { availableParallelism } from 'node:os'

/** A part of the test suite that runs by itself, with what it needs of the machine. */
export interface Stage {
  readonly name: string
  /** Folders of test/, or "architecture" for the test files in test/ itself. */
  readonly folders: readonly string[]
  readonly concurrency: number
  /** For one file. A guard against a hang, far above what any file takes. */
  readonly minutes: number
  readonly needsRoot: boolean
}

/** In order of running: what needs no machine first, then the kernel, then real Docker hosts. */
export const STAGES: readonly Stage[] = [
  {
    name: 'code',
    folders: ['architecture', 'unit', 'golden', 'property', 'contract'],
    concurrency: Math.max(2, Math.min(4, availableParallelism())),
    minutes: 5,
    needsRoot: false,
  },
  { name: 'netns', folders: ['netns'], concurrency: 2, minutes: 10, needsRoot: true },
  { name: 'e2e', folders: ['e2e'], concurrency: 1, minutes: 30, needsRoot: true },
]

/** The pattern of a folder's test files, relative to test/. */
export function patternOf(folder: string): string {
  return folder === 'architecture' ? '*.test.ts' : `${folder}/**/*.test.ts`
}
