import { quote } from '../shell/quote'
import type { ApiRequest } from './example'

export const LANGUAGES = ['curl', 'Python', 'JavaScript'] as const
export type Language = (typeof LANGUAGES)[number]

/**
 * A program that sends a request. `base` is the address of the API, which ends in `/v1`. A key is
 * taken from XINFERENCE_API_KEY, and never written out.
 */
export function snippet(language: Language, base: string, request: ApiRequest): string {
  const url = `${base}/${request.path}`
  if (language === 'curl') return curl(url, request)
  if (language === 'Python') return python(url, request)
  return javascript(url, request)
}

function curl(url: string, { body, files, output }: ApiRequest): string {
  const lines = [`curl ${body.stream ? '-N ' : ''}${quote(url)}`, '-H "Authorization: Bearer $XINFERENCE_API_KEY"']
  if (files) {
    lines.push(
      ...Object.entries(body).map(([name, value]) =>
        // -F would read a value that begins with @ or < as the name of a file.
        files.includes(name)
          ? `-F ${quote(`${name}=@${value}`)}`
          : `--form-string ${quote(`${name}=${value}`)}`,
      ),
    )
  } else {
    lines.push("-H 'Content-Type: application/json'", `-d ${quote(JSON.stringify(body, null, 2))}`)
  }
  if (output) lines.push(`-o ${quote(output)}`)
  return lines.join(' \\\n  ')
}

function python(url: string, { body, files, output }: ApiRequest): string {
  const [fields, opened] = divide(body, files)
  const sent = files
    ? `    data=${literal(fields)},
    files={${opened.map(([name, path]) => `${string(name)}: open(${string(path)}, "rb")`).join(', ')}},`
    : `    json=${indent(literal(fields), 4)},`
  const stream = body.stream ? '\n    stream=True,' : ''
  const shown = output
    ? `with open(${string(output)}, "wb") as file:\n    file.write(answer.content)`
    : body.stream
      ? 'for line in answer.iter_lines():\n    print(line.decode())'
      : 'print(answer.json())'
  return `import os

import requests

answer = requests.post(
    ${string(url)},
    headers={"Authorization": f"Bearer {os.environ.get('XINFERENCE_API_KEY', 'none')}"},
${sent}${stream}
)
answer.raise_for_status()
${shown}
`
}

function javascript(url: string, { body, files, output }: ApiRequest): string {
  const [fields, opened] = divide(body, files)
  const key = "Authorization: `Bearer ${process.env.XINFERENCE_API_KEY ?? 'none'}`"
  const imported = [opened.length > 0 && 'readFile', output && 'writeFile'].filter(Boolean)
  const lines =
    imported.length > 0 ? [`import { ${imported.join(', ')} } from 'node:fs/promises'`, ''] : []
  if (files) {
    lines.push('const body = new FormData()')
    for (const [name, value] of Object.entries(fields)) {
      lines.push(`body.append(${string(name)}, ${JSON.stringify(String(value))})`)
    }
    for (const [name, path] of opened) {
      const blob = `new Blob([await readFile(${string(path)})])`
      lines.push(`body.append(${string(name)}, ${blob}, ${string(path)})`)
    }
    lines.push(
      `const answer = await fetch(${string(url)}, {`,
      "  method: 'POST',",
      `  headers: { ${key} },`,
      '  body,',
      '})',
    )
  } else {
    lines.push(
      `const answer = await fetch(${string(url)}, {`,
      "  method: 'POST',",
      `  headers: { 'Content-Type': 'application/json', ${key} },`,
      `  body: JSON.stringify(${indent(JSON.stringify(fields, null, 2), 2)}),`,
      '})',
    )
  }
  lines.push('if (!answer.ok) throw new Error(await answer.text())')
  lines.push(
    output
      ? `await writeFile(${string(output)}, Buffer.from(await answer.arrayBuffer()))`
      : body.stream
        ? 'for await (const part of answer.body) process.stdout.write(part)'
        : 'console.log(await answer.json())',
  )
  return `${lines.join('\n')}\n`
}

/** The fields of a body that are plain, and those that are files. */
function divide(
  body: Record<string, unknown>,
  files: string[] = [],
): [Record<string, unknown>, [string, string][]] {
  const entries = Object.entries(body)
  return [
    Object.fromEntries(entries.filter(([name]) => !files.includes(name))),
    entries.flatMap(([name, value]) => (files.includes(name) ? [[name, String(value)]] : [])),
  ]
}

function string(text: string): string {
  return JSON.stringify(text)
}

/** JSON as Python writes it. */
function literal(value: unknown): string {
  if (value === null) return 'None'
  if (value === true) return 'True'
  if (value === false) return 'False'
  if (typeof value !== 'object') return JSON.stringify(value)
  const parts = Array.isArray(value)
    ? value.map(literal)
    : Object.entries(value).map(([name, one]) => `${string(name)}: ${literal(one)}`)
  const [open, end] = Array.isArray(value) ? ['[', ']'] : ['{', '}']
  const line = `${open}${parts.join(', ')}${end}`
  if (line.length < 60) return line
  return `${open}\n${parts.map((part) => `    ${indent(part, 4)},`).join('\n')}\n${end}`
}

function indent(text: string, by: number): string {
  return text.replaceAll('\n', `\n${' '.repeat(by)}`)
}
