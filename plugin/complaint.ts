import type { z } from 'zod'

/**
 * One sentence for all that a schema found wrong in a request:
 * "NetworkDriver.Join: EndpointID wants a string, found nothing".
 */
export function complaint(method: string, error: z.ZodError): string {
  return `${method}: ${error.issues.map(sayIssue).join('; ')}`
}

function sayIssue(issue: z.core.$ZodIssue): string {
  const field = issue.path.map(String).join('.') || 'the request'
  if (issue.code === 'invalid_type') {
    return `${field} wants ${article(issue.expected)}, found ${found(issue.input)}`
  }
  return `${field} ${lowerFirst(issue.message)}, found ${found(issue.input)}`
}

function article(type: string): string {
  const name = type === 'int' ? 'integer' : type
  return /^[aeiou]/.test(name) ? `an ${name}` : `a ${name}`
}

function found(value: unknown): string {
  if (value === undefined) return 'nothing'
  const text = JSON.stringify(value)
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1)
}
