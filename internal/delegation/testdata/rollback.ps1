# Drover: delegation, back to 2026-11-20T12:00:00Z
# 5 changes to 3 objects of lab.test
# planned 2026-11-20T12:00:00Z from dc1.lab.test
# run: powershell -File FILE, where the module ActiveDirectory is installed
$ErrorActionPreference = 'Stop'
Import-Module ActiveDirectory
$server = 'dc1.lab.test'

$attribute = 'msDS-AllowedToActOnBehalfOfOtherIdentity'

function Set-Descriptor($identity, [byte[]]$bytes) {
    $descriptor = [System.DirectoryServices.ActiveDirectorySecurity]::new()
    $descriptor.SetSecurityDescriptorBinaryForm($bytes)
    Set-ADObject -Server $server -Identity $identity -Replace @{$attribute = $descriptor}
}

# Adds and removes entries; all others stay.
function Edit-Trustees($identity, [string[]]$Add, [string[]]$Remove) {
    $old = (Get-ADObject -Server $server -Identity $identity -Properties $attribute).$attribute
    $sd = [System.Security.AccessControl.RawSecurityDescriptor]::new('O:BAD:')
    if ($old) { $sd = [System.Security.AccessControl.RawSecurityDescriptor]::new($old.GetSecurityDescriptorBinaryForm(), 0) }
    $acl = $sd.DiscretionaryAcl
    if ($null -eq $acl) { throw "$identity has a descriptor without a list, which lets everybody act" }
    function allows($ace, $sid) {
        "$($ace.AceType)" -eq 'AccessAllowed' -and $ace.SecurityIdentifier.Value -eq $sid -and ($ace.AccessMask -band 0x100)
    }
    for ($i = $acl.Count - 1; $i -ge 0; $i--) {
        foreach ($sid in $Remove) { if (allows $acl[$i] $sid) { $acl.RemoveAce($i); break } }
    }
    foreach ($sid in $Add) {
        $there = $false
        $place = 0
        foreach ($ace in $acl) {
            if (allows $ace $sid) { $there = $true }
            if (-not $ace.IsInherited) { $place++ }
        }
        if ($there) { continue }
        $trustee = [System.Security.Principal.SecurityIdentifier]::new($sid)
        $acl.InsertAce($place, [System.Security.AccessControl.CommonAce]::new('None', 'AccessAllowed', 0xF01FF, $trustee, $false, $null))
    }
    if ($acl.Count -eq 0) {
        Set-ADObject -Server $server -Identity $identity -Clear $attribute
        return
    }
    $bytes = [byte[]]::new($sd.BinaryLength)
    $sd.GetBinaryForm($bytes, 0)
    Set-Descriptor $identity $bytes
}

# HV01$
Set-Descriptor 'CN=HV01,CN=Computers,DC=lab,DC=test' ([Convert]::FromBase64String('AQAEgBQAAAAAAAAAAAAAACQAAAABAgAAAAAABSAAAAAgAgAAAgAsAAEAAAAAACQA/wEPAAEFAAAAAAAFFQAAAAkAAAAJAAAACQAAAM8HAAA='))
Set-ADAccountControl -Server $server -Identity 'CN=HV01,CN=Computers,DC=lab,DC=test' -TrustedToAuthForDelegation $false

# HV02$
Set-ADObject -Server $server -Identity 'CN=HV02,CN=Computers,DC=lab,DC=test' -Clear 'msDS-AllowedToActOnBehalfOfOtherIdentity'
Set-ADAccountControl -Server $server -Identity 'CN=HV02,CN=Computers,DC=lab,DC=test' -TrustedToAuthForDelegation $false

# Drover Hosts
Remove-ADObject -Server $server -Identity 'CN=Drover Hosts,CN=Users,DC=lab,DC=test' -Confirm:$false
