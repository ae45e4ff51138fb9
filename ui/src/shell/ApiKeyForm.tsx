import { Button, Group, Paper, PasswordInput, Text } from '@mantine/core'
import { useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'

import { apiKey } from '../api/api-key'
import { useI18n } from '../i18n'

interface Props {
  /** The server answered 401: the form stays until a key is accepted. */
  refused: boolean
  onClose: () => void
}

export function ApiKeyForm({ refused, onClose }: Props) {
  const { t } = useI18n()
  const queries = useQueryClient()
  const [draft, setDraft] = useState(apiKey.get().key)

  function save() {
    apiKey.save(draft.trim())
    onClose()
    void queries.invalidateQueries()
  }

  return (
    <Paper
      component="form"
      withBorder
      p="md"
      mb="md"
      onSubmit={(event) => {
        event.preventDefault()
        save()
      }}
    >
      <Text role="status" mb="xs">
        {t(refused && apiKey.get().key ? 'key.refused' : 'key.needed')}
      </Text>
      <Group align="flex-end">
        <PasswordInput
          label={t('key.label')}
          value={draft}
          onChange={(event) => setDraft(event.currentTarget.value)}
          autoComplete="off"
          flex={1}
          miw={200}
        />
        <Group gap="xs">
          <Button type="submit">{t('key.save')}</Button>
          {!refused && (
            <Button variant="default" onClick={onClose}>
              {t('key.cancel')}
            </Button>
          )}
        </Group>
      </Group>
    </Paper>
  )
}
