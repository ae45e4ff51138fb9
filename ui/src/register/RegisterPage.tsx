import { Stack } from '@mantine/core'

import { useI18n } from '../i18n'
import { PageTitle } from '../shell/PageTitle'
import { OwnModels } from './OwnModels'
import { RegisterForm } from './RegisterForm'

export default function RegisterPage() {
  const { t } = useI18n()
  return (
    <Stack gap="md">
      <PageTitle>{t('register.title')}</PageTitle>
      <RegisterForm />
      <OwnModels />
    </Stack>
  )
}
