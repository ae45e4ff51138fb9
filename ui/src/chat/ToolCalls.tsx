import type { ToolCall } from '../api/chat'
import { useI18n } from '../i18n'
import { CodeBlock } from '../shell/CodeBlock'

/** The functions that a model wants called, with what it gives them. */
export function ToolCalls({ calls }: { calls: ToolCall[] }) {
  const { t } = useI18n()
  return calls.map((call, index) => (
    <CodeBlock
      key={index}
      text={`${call.function.name}(${call.function.arguments})`}
      label={t('tools.call', { name: call.function.name })}
    />
  ))
}
