import { globSync, readFileSync } from 'node:fs'
import { posix, resolve } from 'node:path'

export const ROOT = resolve(import.meta.dirname, '../..')

/** A TypeScript file of the project, as the rules of its architecture see it. */
export interface SourceFile {
  /** From the project's root: "src/net/cidr.ts". */
  readonly path: string
  readonly text: string
  /** What it imports: "node:fs", "zod", or for the project's own a path from the root. */
  readonly imports: readonly string[]
  /** Those of its imports that are there at run time: not `import type`. */
  readonly loads: readonly string[]
}

/** Static imports and re-exports, side-effect imports, dynamic imports, and a worker's entry. */
const IMPORTS = [
  /^(?:import|export)\b(?<type> type\b)?[^'"`;]*?\bfrom\s*'(?<name>[^']+)'/gm,
  /^import\s*'(?<name>[^']+)'/gm,
  /\bimport\(\s*'(?<name>[^']+)'/g,
  /\bnew URL\(\s*'(?<name>\.[^']+\.ts)',\s*import\.meta\.url/g,
]

export function sourceFile(path: string, text: string): SourceFile {
  const found = IMPORTS.flatMap((form) => [...text.matchAll(form)])
    .map(({ groups }) => ({ name: groups!['name']!, typeOnly: groups!['type'] !== undefined }))
    // Code inside a string may look like an import.
    .filter(({ name }) => /^[\w@.:/-]+$/.test(name))
    .map(({ name, typeOnly }) => ({
      name: name.startsWith('.') ? posix.join(posix.dirname(path), name) : name,
      typeOnly,
    }))
  return {
    path,
    text,
    imports: found.map(({ name }) => name),
    loads: found.filter(({ typeOnly }) => !typeOnly).map(({ name }) => name),
  }
}

/** All TypeScript of the project. */
export function readSourceFiles(): SourceFile[] {
  return globSync('{src,plugin,package,test,lab,bench}/**/*.ts', { cwd: ROOT })
    .sort()
    .map((path) => sourceFile(path, readFileSync(resolve(ROOT, path), 'utf8')))
}

/** "@types/node" of "@types/node/fs", "zod" of "zod/v4"; null for Node's own and the project's own. */
export function packageOf(name: string): string | null {
  if (name.startsWith('node:') || /\.(ts|json)$/.test(name)) return null
  return name
    .split('/')
    .slice(0, name.startsWith('@') ? 2 : 1)
    .join('/')
}
