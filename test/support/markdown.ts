import { globSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { ROOT } from './source-file.ts'

/** A document of the project. */
export interface Document {
  /** From the project's root: "docs/architecture.md". */
  readonly path: string
  readonly text: string
}

export interface Fence {
  readonly language: string
  readonly lines: readonly string[]
}

export function readDocument(path: string): Document {
  return { path, text: readFileSync(resolve(ROOT, path), 'utf8') }
}

/** All Markdown of the project. */
export function readDocuments(): Document[] {
  return globSync('{*.md,{docs,src,plugin,test,lab,bench}/**/*.md}', { cwd: ROOT })
    .sort()
    .map(readDocument)
}

/** Targets of links and pictures, without what stands in code. */
export function linksOf({ text }: Document): string[] {
  const prose = text.replace(/^(`{3,}).*?^\1/gms, '').replace(/`[^`\n]*`/g, '')
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target!)
}

/** What a link may name after "#", as GitHub makes it of headings. */
export function anchorsOf({ text }: Document): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

export function fencesOf({ text }: Document): Fence[] {
  return [...text.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(([, language, body]) => ({
    language: language!,
    lines: body!.trimEnd().split('\n'),
  }))
}

/** The rows of the first table under a heading, as cells; its heading row and ruler left out. */
export function tableUnder({ path, text }: Document, heading: string): string[][] {
  const start = text.indexOf(`\n${heading}\n`)
  if (start < 0) throw new Error(`${path} has no heading "${heading}"`)
  const lines = text.slice(start).split('\n')
  const first = lines.findIndex((line) => line.startsWith('|'))
  const end = lines.findIndex((line, at) => at > first && !line.startsWith('|'))
  return lines.slice(first + 2, end).map((line) =>
    line
      .replace(/^\| *| *\|$/g, '')
      .split(/ *(?<!\\)\| */)
      .map((cell) => cell.trim()),
  )
}
