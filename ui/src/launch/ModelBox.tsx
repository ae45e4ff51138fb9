import { Button, Group, TextInput } from '@mantine/core'
import { useState } from 'react'

import { useI18n } from '../i18n'

/** Takes any name that a launch takes: what is not in the catalogue, above all. */
export function ModelBox({ onSubmit }: { onSubmit: (name: string) => void }) {
  const { t } = useI18n()
  const [name, setName] = useState('')
  return (
    <Group
      component="form"
      align="flex-end"
      gap="xs"
      onSubmit={(event) => {
        event.preventDefault()
        if (name.trim()) onSubmit(name.trim())
      }}
    >
      <TextInput
        label={t('launch.box')}
        placeholder={t('launch.box.placeholder')}
        value={name}
        onChange={(event) => setName(event.currentTarget.value)}
        autoComplete="off"
        spellCheck={false}
        flex={1}
        miw={200}
      />
      <Button type="submit" variant="default">
        {t('launch.box.submit')}
      </Button>
    </Group>
  )
}
