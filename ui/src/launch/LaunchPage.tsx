import { Skeleton, Stack } from '@mantine/core'
import { useRef, useState } from 'react'

import { useCatalogue } from '../api/queries'
import { useI18n } from '../i18n'
import { ErrorAlert } from '../shell/ErrorAlert'
import { PageTitle } from '../shell/PageTitle'
import { Catalogue } from './Catalogue'
import { LaunchForm } from './LaunchForm'

export function LaunchPage() {
  const { t } = useI18n()
  const catalogue = useCatalogue()
  const [model, setModel] = useState('')
  const form = useRef<HTMLFormElement>(null)

  function choose(name: string) {
    setModel(name)
    // On a phone the form is above the card that was pressed.
    form.current?.scrollIntoView({ block: 'center' })
  }

  return (
    <Stack gap="md">
      <PageTitle>{t('launch.title')}</PageTitle>
      <LaunchForm ref={form} model={model} onModelChange={setModel} />
      <ErrorAlert error={catalogue.error} />
      {catalogue.isLoading && <Skeleton h={160} aria-label={t('loading')} />}
      {catalogue.data && (
        <Catalogue models={catalogue.data} chosen={model} onChoose={choose} />
      )}
    </Stack>
  )
}
