/** What the server says, in which `words` between backticks are those of its API. */
export function Sentence({ text }: { text: string }) {
  return text.split(/`([^`\n]+)`/).map((part, index) =>
    index % 2 === 1 ? <code key={index}>{part}</code> : part,
  )
}
