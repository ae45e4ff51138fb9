import { Button, Group, TextInput } from '@mantine/core'
import { useMutation } from '@tanstack/react-query'
import { useState } from 'react'

import { describeFiles } from '../api/catalogue'
import { useI18n } from '../i18n'
import { ErrorAlert } from '../shell/ErrorAlert'
import type { Description } from './description'

/** Has the server describe the files at a path of its own. */
export function PathForm({ onRead }: { onRead: (description: Description) => void }) {
  const { t } = useI18n()
  const [path, setPath] = useState('')
  const read = useMutation({ mutationFn: describeFiles, onSuccess: onRead })
  return (
    <>
      <Group
        component="form"
        align="flex-end"
        gap="xs"
        onSubmit={(event) => {
          event.preventDefault()
          if (path.trim()) read.mutate(path.trim())
        }}
      >
        <TextInput
          label={t('register.path')}
          description={t('register.path.help')}
          value={path}
          onChange={(event) => setPath(event.currentTarget.value)}
          autoComplete="off"
          spellCheck={false}
          flex={1}
          miw={200}
        />
        <Button type="submit" variant="default" loading={read.isPending}>
          {t('register.path.read')}
        </Button>
      </Group>
      <ErrorAlert error={read.error} />
    </>
  )
}
