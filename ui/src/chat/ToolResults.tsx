import { Button, Paper, Stack, Text, Textarea } from '@mantine/core'
import { useState } from 'react'

import type { ToolCall } from '../api/chat'
import { useI18n } from '../i18n'
import type { Input } from './turn'

interface Props {
  calls: ToolCall[]
  onSend: (input: Input) => void
}

/** Takes what the called functions give: here, it is a person who calls them. */
export function ToolResults({ calls, onSend }: Props) {
  const { t } = useI18n()
  const [contents, setContents] = useState<Record<string, string>>({})
  return (
    <Paper
      component="form"
      withBorder
      p="sm"
      onSubmit={(event) => {
        event.preventDefault()
        const results = calls.map(({ id, function: { name } }) => ({
          id,
          name,
          content: contents[id] ?? '',
        }))
        onSend({ kind: 'results', results })
      }}
    >
      <Stack gap="xs">
        <Text fz="sm">{t('tools.give')}</Text>
        {calls.map(({ id, function: { name } }) => (
          <Textarea
            key={id}
            label={t('tools.result', { name })}
            value={contents[id] ?? ''}
            onChange={(event) => setContents({ ...contents, [id]: event.currentTarget.value })}
            autosize
            minRows={1}
            maxRows={6}
          />
        ))}
        <Button type="submit" size="xs" style={{ alignSelf: 'flex-start' }}>
          {t('tools.send')}
        </Button>
      </Stack>
    </Paper>
  )
}
